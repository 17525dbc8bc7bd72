"""The protocol of a selection."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.operators import Operator

#: What a selection is given that does not look at images.
NONE_SOLVED: Mapping[Genome, np.ndarray] = MappingProxyType({})


class Selection(Operator, ABC):
    """Selects parents. An operator is one file beside this one."""

    #: Whether evaluations must say which validation images are right.
    needs_images: ClassVar[bool] = False

    @abstractmethod
    def select(
        self,
        losses: Mapping[Genome, float],
        count: int,
        generator: random.Random,
        solved: Mapping[Genome, np.ndarray] = NONE_SOLVED,
    ) -> list[Genome]:
        """Return parents; the same genome may be drawn more than once.

        Args:
            losses: Finite loss by genome; smaller is better.
            count: Number of parents.
            generator: Source of randomness; advanced.
            solved: By genome, whether each validation image was right, bool (image,).
        """
