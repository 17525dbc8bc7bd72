"""The news that a run gives to its watchers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from efn_compose.evolve.journal.ledger import Watcher


@dataclass(frozen=True)
class Place:
    """What a search believes of one genome.

    Args:
        donor: Number of the donor that it is; None if it mixes donors.
        loss: The believed loss.
        runs: Number of its runs.
    """

    donor: int | None
    loss: float
    runs: int


@dataclass(frozen=True)
class Standing:
    """How a search stands after a generation.

    Args:
        best: The genome believed best; None if every evaluation failed so far.
        best_donor: The donor believed best; None if all donors failed.
        donors: The believed loss of each donor that did not fail, by its number.
        mean: Mean loss of all genomes, NaN if all failed.
        genomes: Genomes tried.
    """

    best: Place | None
    best_donor: Place | None
    donors: Mapping[int, float]
    mean: float
    genomes: int


class RunWatcher(Watcher, Protocol):
    """Hears the news of a run; draws progress."""

    def set_donors(self, names: list[str]) -> None:
        """Learn the names of all donors, siblings included."""

    def on_phase(self, phase: str, evaluations: int) -> None:
        """A phase begins that will make this number of evaluations."""

    def on_generation(self, generation: int, standing: Standing) -> None:
        """A generation was told to the search, which now stands as given."""

    def on_note(self, text: str) -> None:
        """Something a person should know."""
