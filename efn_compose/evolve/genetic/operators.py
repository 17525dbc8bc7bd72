"""Operators by name: the files of a folder are the choices, so another operator is another file.

A folder holds `base.py`, the protocol of its operators, and one file per operator. A file's name is
the operator's name in the configuration, and the file defines one class.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from typing import Protocol, Self

from efn_compose.compose import Genome, ShareGenomeSpace
from efn_compose.errors import ConfigError


class GeneSpace(Protocol):
    """What breeding knows of the genomes it changes: a `GenomeSpace`, or genes of another meaning."""

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each gene."""

    @property
    def stage_borders(self) -> tuple[int, ...]:
        """Positions where a crossover may cut."""

    @property
    def clusters(self) -> tuple[tuple[int, int], ...]:
        """Ranges (start, stop) of genes whose meanings depend on each other."""

    @property
    def granularity(self) -> str:
        """What a gene stands for, in a word."""

    @property
    def donor_count(self) -> int:
        """Number of pure genomes."""

    def pure(self, donor: int) -> Genome:
        """Return a pure genome: of its stages any may be put into another one."""

    def canonical(self, genome: Sequence[int]) -> Genome:
        """Return the simplest genome of the same meaning."""


class Operator:
    """Base of the classes in the `base.py` files."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all operators of this kind, in alphabetical order.

        Example:
            >>> from efn_compose.evolve.genetic.crossover.base import Crossover
            >>> Crossover.names()
            ('two_point', 'uniform_stages')
        """
        folder, _, own = cls.__module__.rpartition(".")
        paths = importlib.import_module(folder).__path__
        return tuple(
            sorted(found.name for found in pkgutil.iter_modules(paths) if found.name != own)
        )

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the operator of a name.

        Args:
            name: One of `names()`.

        Example:
            >>> from efn_compose.evolve.genetic.selection.base import Selection
            >>> type(Selection.named("tournament")).__name__
            'Tournament'
        """
        folder = cls.__module__.rpartition(".")[0]
        module = importlib.import_module(f"{folder}.{name}")
        (found,) = (
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, cls) and kind.__module__ == module.__name__
        )
        return found()


def shares_of(space: GeneSpace, what: str) -> ShareGenomeSpace:
    """Return a space of shares as what it is.

    Args:
        space: Any genome space.
        what: What needs shares, for the message.

    Raises:
        ConfigError: Its genes are no shares.
    """
    if not isinstance(space, ShareGenomeSpace):
        raise ConfigError(
            f"{what} moves shares. Received search.granularity = {space.granularity!r}; set it to one "
            f"of {', '.join(ShareGenomeSpace.granularities)}."
        )
    return space
