"""Operators by name: the files of a folder are the choices, so another operator is another file.

A folder holds `base.py`, the protocol of its operators, and one file per operator. A file's name is
the operator's name in the configuration, and the file defines one class.
"""

import importlib
import inspect
import pkgutil
from typing import ClassVar, Self

from efn_compose.compose import GenomeSpace, ShareGenomeSpace
from efn_compose.errors import ConfigError


class Operator:
    """Base of the classes in the `base.py` files."""

    #: Whether genes must be shares.
    needs_shares: ClassVar[bool] = False

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all operators of this kind, in alphabetical order.

        Example:
            >>> from efn_compose.evolve.genetic.crossover.base import Crossover
            >>> Crossover.names()
            ('share_blend', 'two_point', 'uniform_stages')
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


def shares_of(space: GenomeSpace, what: str) -> ShareGenomeSpace:
    """Return a space of shares as what it is.

    Args:
        space: Any genome space.
        what: What needs shares, for the message.

    Raises:
        ConfigError: Its genes are no shares.
    """
    if not isinstance(space, ShareGenomeSpace):
        raise ConfigError(
            f"{what} moves shares. Received search.granularity = {space.granularity!r}; set it to "
            "'stage_share' or 'block_share'."
        )
    return space
