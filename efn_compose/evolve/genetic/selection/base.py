"""The protocol of a selection."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.operators import Operator


class Selection(Operator, ABC):
    """Selects parents. An operator is one file beside this one."""

    @abstractmethod
    def select(
        self, losses: Mapping[Genome, float], count: int, generator: random.Random
    ) -> list[Genome]:
        """Return parents; the same genome may be drawn more than once.

        Args:
            losses: Finite loss by genome; smaller is better.
            count: Number of parents.
            generator: Source of randomness; advanced.
        """
