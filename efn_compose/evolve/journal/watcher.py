"""The news that a run gives to its watchers."""

from typing import Protocol

from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.journal.ledger import Watcher


class RunWatcher(Watcher, Protocol):
    """Hears the news of a run; draws progress."""

    def set_donors(self, names: list[str]) -> None:
        """Learn the names of all donors, siblings included."""

    def on_phase(self, phase: str, evaluations: int) -> None:
        """A phase begins that will make this number of evaluations."""

    def on_generation(self, generation: int, search: GeneticSearch) -> None:
        """A generation was told to the search."""

    def on_note(self, text: str) -> None:
        """Something a person should know."""
