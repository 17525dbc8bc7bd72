"""Genomes of augmentation policies: which operation, how probable, how strong, step by step."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from efn_compose.compose import Genome
from efn_compose.train.augment.policies.tables import SPACES, SubPolicy
from efn_compose.train.augment.policies.written import REST

#: Strengths of an operation, from a part of TrivialAugment's range to all of it.
_LEVELS = 4
#: Genes of a step: operation, probability, strength. Steps of a sub-policy.
_GENES, _STEPS = 3, 2


def strengths() -> dict[str, tuple[float, ...]]:
    """Return the strengths of each operation of TrivialAugment's space, in its unit.

    Example:
        >>> strengths()["rotate"], strengths()["posterize"], strengths()["equalize"]
        ((7.5, 15.0, 22.5, 30.0), (7.0, 6.0, 5.0, 4.0), (0.0,))
    """
    found = {}
    for row in SPACES["trivial"]:
        width = row.strongest - row.weakest
        levels = [row.weakest + width * level / _LEVELS for level in range(1, _LEVELS + 1)]
        found[row.operation] = tuple(dict.fromkeys(round(float(value), 6) for value in levels))
    return found


@dataclass(frozen=True)
class PolicySpace:
    """All policies of so many sub-policies, as tuples of small integers; a `GeneSpace`.

    A stage of the genome is a sub-policy, a cluster is a step, and a pure genome is one operation
    alone. The operators of the search over donors breed policies as they are.

    Args:
        sub_policies: Their number.
        strengths: Of each operation, "identity" among them.
        chances: Probabilities that a step may have.

    Example:
        >>> space = PolicySpace(1, {"identity": (0.0,), "rotate": (15.0, 30.0)}, (0.5, 1.0))
        >>> space.decode((1, 0, 1, 0, 0, 0))
        ((('rotate', 0.5, 30.0), ('identity', 0.0, 0.0)),)
    """

    sub_policies: int
    strengths: Mapping[str, tuple[float, ...]] = field(default_factory=strengths)
    chances: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)

    @cached_property
    def operations(self) -> tuple[str, ...]:
        """By gene, the operation."""
        return tuple(self.strengths)

    @cached_property
    def steps(self) -> tuple[tuple[str, float], ...]:
        """Every operation at every strength."""
        return tuple((name, size) for name, sizes in self.strengths.items() for size in sizes)

    @cached_property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each gene."""
        levels = max(map(len, self.strengths.values()))
        step = (len(self.operations), len(self.chances), levels)
        return step * (_STEPS * self.sub_policies)

    @property
    def stage_borders(self) -> tuple[int, ...]:
        """Where sub-policies begin, but for the first."""
        width = _STEPS * _GENES
        return tuple(range(width, width * self.sub_policies, width))

    @property
    def clusters(self) -> tuple[tuple[int, int], ...]:
        """Start and stop of each step."""
        return tuple((at, at + _GENES) for at in range(0, len(self.cardinalities), _GENES))

    @property
    def granularity(self) -> str:
        """What a cluster of genes stands for."""
        return "step"

    @property
    def donor_count(self) -> int:
        """Number of pure genomes: one per operation."""
        return len(self.operations)

    def pure(self, donor: int) -> Genome:
        """Return the genome of one operation alone, always and at its strongest."""
        step = (donor, len(self.chances) - 1, len(self.strengths[self.operations[donor]]) - 1)
        rest = (self.operations.index("identity"), 0, 0)
        return self.canonical((*step, *rest) * self.sub_policies)

    def draw(self, generator: random.Random) -> Genome:
        """Return a random genome."""
        return self.canonical([generator.randrange(count) for count in self.cardinalities])

    def canonical(self, genome: Sequence[int]) -> Genome:
        """Return the one genome of a policy: genes without effect 0, sub-policies in order."""
        steps = [self._step(genome[start:stop]) for start, stop in self.clusters]
        idle = self._step((self.operations.index("identity"), 0, 0))
        pairs = [
            # A step that does nothing stands behind one that does something.
            (second, first) if first == idle else (first, second)
            for first, second in zip(steps[::2], steps[1::2], strict=True)
        ]
        return tuple(gene for pair in sorted(pairs) for step in pair for gene in step)

    def _step(self, genes: Sequence[int]) -> tuple[int, ...]:
        operation, chance, level = genes
        name = self.operations[operation]
        if name == "identity":
            return operation, 0, 0
        return operation, chance, min(level, len(self.strengths[name]) - 1)

    def decode(self, genome: Sequence[int]) -> tuple[SubPolicy, ...]:
        """Return the sub-policies of a genome, strengths in their units."""
        steps = []
        for start, stop in self.clusters:
            operation, chance, level = self._step(genome[start:stop])
            name = self.operations[operation]
            size = self.strengths[name][level]
            steps.append(REST if name == "identity" else (name, self.chances[chance], size))
        return tuple(zip(steps[::2], steps[1::2], strict=True))
