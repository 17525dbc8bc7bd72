"""Genomes of shares: how far each segment moves from a common ancestor towards each relative.

A relative is a network that was trained on from the ancestor. Its difference to the ancestor says
what it learnt (a task vector: Ilharco et al. 2023, arXiv:2212.04089). A gene is the share of one
relative's difference in one part of the network; shares beyond 1 and below 0 extrapolate.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from efn_compose.compose.space import (
    DonorMap,
    Genome,
    GenomeSpace,
    Granularity,
    Locus,
    Mix,
    segments,
)

#: Shares per unit: a power of two, so that every share is exact in binary.
STEPS = 32
#: Smallest and largest share.
LOWEST, HIGHEST = -0.5, 1.5
#: The gene of share 0, the gene of share 1, and the largest gene.
NOTHING, WHOLE, LAST = (int((share - LOWEST) * STEPS) for share in (0, 1, HIGHEST))
#: Standard deviation of a part's share around the network's, in a genome drawn at random.
_SPREAD = 0.25


@dataclass(frozen=True)
class ShareGenomeSpace(GenomeSpace):
    """All genomes with a share per relative and part of the network.

    Parts are the segments ("block_share"), or stem, stages and top ("stage_share"), or the whole
    network is one ("network_share"). Genes stand in network order; within a part one per relative,
    in the order of donors. Gene g is the share g / 32 - 0.5, so that 16 is nothing and 48 is the
    relative itself.

    Args:
        spec: The network all donors share.
        donor_count: Number of donors, the ancestor included.
        granularity: "network_share", "stage_share" or "block_share".
        lineages: Per donor, the number of its lineage; all are equal. Empty where unknown.
        ancestor: Number of the donor that all others descend from.

    Raises:
        InvalidGenomeError: There is no such ancestor, or donors are of several lineages.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> space = ShareGenomeSpace(arch_spec("lite0"), 3, "stage_share")
        >>> len(space.loci), space.loci[1].name, set(space.pure(0))
        (18, 'stem_share2', {16})
    """

    granularities: ClassVar[tuple[str, ...]] = ("network_share", "stage_share", "block_share")

    granularity: Granularity = "stage_share"
    ancestor: int = 0

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if not 0 <= self.ancestor < self.donor_count:
            problems.append(f"ancestor {self.ancestor} is none of {self.donor_count} donors")
        if len(set(self.lineages)) > 1:
            problems.append(f"donors must be of one lineage, received lineages {self.lineages}")
        return problems

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        yield f"ancestor {self.ancestor}".encode()

    @cached_property
    def relatives(self) -> tuple[int, ...]:
        """Numbers of all donors but the ancestor."""
        return tuple(n for n in range(self.donor_count) if n != self.ancestor)

    @cached_property
    def parts(self) -> tuple[Locus, ...]:
        """The parts of the network that have shares of their own, in network order."""
        if self.granularity == "network_share":
            return (Locus("network", segments(self.spec)),)
        if self.granularity == "block_share":
            return tuple(Locus(name, (name,)) for name in segments(self.spec))
        return GenomeSpace(self.spec, 1, "stage").loci

    @cached_property
    def loci(self) -> tuple[Locus, ...]:
        """The positions of the genome, in network order."""
        return tuple(
            Locus(f"{part.name}_share{number}", part.segments)
            for part in self.parts
            for number in self.relatives
        )

    @cached_property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each gene."""
        return (LAST + 1,) * len(self.loci)

    @cached_property
    def clusters(self) -> tuple[tuple[int, int], ...]:
        """Ranges (start, stop) of the genes of each part."""
        count = len(self.relatives)
        return tuple((n * count, (n + 1) * count) for n in range(len(self.parts)))

    @property
    def switch_positions(self) -> tuple[int, ...]:
        """Positions where another part begins."""
        return tuple(start for start, _ in self.clusters[1:])

    def pure(self, donor: int) -> Genome:
        """Return the genome that is one donor: share 1 of it, or nothing for the ancestor."""
        return tuple(WHOLE if number == donor else NOTHING for number in self.relatives) * len(
            self.parts
        )

    def draw(self, generator: random.Random) -> Genome:
        """Return a random genome: a point between the donors, then some distance per part.

        The point is uniform over the weighted averages of all donors; each share is then moved by
        a normal deviate of standard deviation 0.25.

        Args:
            generator: Source of randomness; advanced.
        """
        cuts = [generator.expovariate(1.0) for _ in range(self.donor_count)]
        levels = [cuts[number] / sum(cuts) for number in self.relatives] * len(self.parts)
        return self.nearest([level + generator.gauss(0.0, _SPREAD) for level in levels])

    @staticmethod
    def nearest(shares: Sequence[float] | np.ndarray) -> Genome:
        """Return the genome nearest to shares (locus,); those out of range are moved to its end.

        Example:
            >>> ShareGenomeSpace.nearest([0.0, 1.0, 9.0])
            (16, 48, 64)
        """
        genes = np.rint((np.asarray(shares, np.float64) - LOWEST) * STEPS)
        return tuple(np.clip(genes, 0, LAST).astype(int).tolist())

    @staticmethod
    def shares(genome: Sequence[int]) -> np.ndarray:
        """Return the shares (locus,) float64 of a genome.

        Example:
            >>> ShareGenomeSpace.shares((16, 48)).tolist()
            [0.0, 1.0]
        """
        return np.asarray(genome, np.float64) / STEPS + LOWEST

    def decode(self, genome: Sequence[int]) -> DonorMap:
        """Return the explicit donor map of a genome: hosts, and the shares of mixed segments."""
        rows = self.shares(self.check(genome)).reshape(len(self.parts), len(self.relatives))
        hosts: dict[str, int] = {}
        mixes: dict[str, Mix] = {}
        for part, row in zip(self.parts, rows.tolist(), strict=True):
            taken = {n: share for n, share in zip(self.relatives, row, strict=True) if share}
            weights = {self.ancestor: 1 - sum(row), **taken}
            hosts |= dict.fromkeys(part.segments, max(weights, key=lambda n: (weights[n], -n)))
            if list(taken.values()) not in ([], [1.0]):
                mixes |= dict.fromkeys(part.segments, Mix(self.ancestor, taken))
        return DonorMap(hosts, mixes=mixes)


def described_shares(donor_map: DonorMap | None) -> dict[str, Mapping[str, float]]:
    """Return the shares of each mixed segment by donor number, as JSON values."""
    mixes = donor_map.mixes if donor_map is not None else {}
    return {
        name: {str(number): share for number, share in mix.shares.items()}
        for name, mix in mixes.items()
    }
