"""A whole search inside an experiment: over an evaluator that the experiment uses, too."""

import contextlib
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.compose.space import Granularity
from efn_compose.data import DataSet
from efn_compose.donors import Donor
from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.kinds.kind import SearchKind
from efn_compose.evolve.options import FinalsOptions, FitnessOptions
from efn_compose.evolve.run import EvolutionRun, RunResult
from efn_compose.evolve.workers.evaluator import Evaluator
from efn_compose.evolve.workers.executor import Executor, Outcome, answer
from efn_compose.evolve.workers.seat import Seat
from efn_compose.store.journal import Journal


class Answers:
    """What evaluations of the same data and donors answered, kept in a file.

    Searches ask for donors under the same seeds, and two ends of one search for the same candidates:
    what was trained once is not trained again. Delete the file where trainings have changed.

    Args:
        path: Of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Outcome] = {}
        if path.exists():
            with path.open("r+b") as file:
                whole = 0
                # What a kill has torn is cut off, so that what is added can be read.
                with contextlib.suppress(EOFError, pickle.UnpicklingError):
                    while True:
                        self._known |= pickle.load(file)
                        whole = file.tell()
                file.truncate(whole)

    def get(self, key: str) -> Outcome | None:
        """Return an answer, None where there is none yet."""
        return self._known.get(key)

    def add(self, key: str, outcome: Outcome) -> None:
        """Keep an answer."""
        self._known[key] = outcome
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            pickle.dump({key: outcome}, file)


class InProcess:
    """An executor over an evaluator that others use too; the traced model is shared.

    Args:
        evaluator: Answers tasks.
        answers: Answers of earlier searches; none by default.
    """

    workers = 1
    device = "cpu"

    def __init__(self, evaluator: Evaluator, answers: Answers | None = None) -> None:
        self.evaluator, self.answers = evaluator, answers
        #: Epochs that the tasks train for, and seconds that known answers had taken.
        self.epochs, self.saved = 0.0, 0.0

    def note(self, text: str) -> None:
        """Say nothing."""

    def run(self, tasks: Any, seat: Seat | None = None) -> Any:
        """Answer tasks in order, counting the epochs they train for."""
        for position, task in enumerate(tasks):
            is_sibling = hasattr(task, "share_count")
            self.epochs += 1 / task.share_count if is_sibling else getattr(task, "epochs", 0.0)
            yield position, self._answer(task, seat)

    def _answer(self, task: Any, seat: Seat | None) -> Outcome:
        if self.answers is None or seat is None:
            return answer(self.evaluator, task, 0, seat)
        key = f"{seat.space.fingerprint} {task}"
        known = self.answers.get(key)
        if known is not None:
            self.saved += known.seconds
            return known
        outcome = answer(self.evaluator, task, 0, seat)
        if outcome.error is None:
            self.answers.add(key, outcome)
        return outcome

    def close(self) -> None:
        """Nothing to stop."""


class Quiet:
    """A watcher that says nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **keywords: None


@dataclass(frozen=True)
class Searched:
    """A finished search.

    Args:
        result: As the run gives it.
        seat: What donor numbers mean at its end.
        rows: The lines of its journal.
    """

    result: RunResult
    seat: Seat
    rows: Sequence[dict[str, Any]]


def search(
    executor: Executor,
    data: DataSet,
    donors: Sequence[Donor],
    options: DonorOptions,
    kind: SearchKind,
    granularity: Granularity,
    finals: FinalsOptions,
    fitness: FitnessOptions,
    seed: int,
) -> Searched:
    """Run a search in a folder that does not outlast it, quietly; all else as of `EvolutionRun`."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "evaluations.jsonl")
        run = EvolutionRun(
            donors=donors,
            options=options,
            data_fingerprint=data.fingerprint,
            kind=kind,
            granularity=granularity,
            finals=finals,
            fitness=fitness,
            seed=seed,
            executor=executor,
            journal=journal,
            folder=Path(folder),
            watcher=Quiet(),
        )
        result = run.run()
        rows = list(journal)
        journal.close()
    return Searched(result, run.seat, rows)
