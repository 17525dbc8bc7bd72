"""Runs that end on either side of the journal's line of a training that has ended."""

from types import ModuleType

import pytest

from efn_compose.store.journal import Journal
from efn_compose.train.recipe.fit import _Training


def kill_before_the_line(patch: pytest.MonkeyPatch) -> None:
    """Let a run end when it would write its first line of a training."""
    original = Journal.append

    def append(self, record):
        if "training" in record:
            raise KeyboardInterrupt
        original(self, record)

    patch.setattr(Journal, "append", append)


def kill_after_the_line(patch: pytest.MonkeyPatch, job: ModuleType, name: str) -> None:
    """Let a run end when its line stands and the training's state would be removed.

    Args:
        patch: Ends it.
        job: The module of the job.
        name: Of the function that removes.
    """
    original, written = getattr(job, name), []
    append = Journal.append

    def noted(self, record):
        append(self, record)
        written.append(record)

    def forget(*arguments):
        if written:
            raise KeyboardInterrupt
        original(*arguments)

    patch.setattr(Journal, "append", noted)
    patch.setattr(job, name, forget)


def count_epochs(patch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of all epochs that trainings make from now on; grows."""
    made, original = [], _Training._epoch

    def epoch(self, number, rates):
        made.append(number)
        return original(self, number, rates)

    patch.setattr(_Training, "_epoch", epoch)
    return made
