"""The meaning of a stored genome: the donor of each part of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from efn_compose.arch import ArchSpec
from efn_compose.compose import DonorMap, GenomeSpace, ShareGenomeSpace, genome_space
from efn_compose.compose.space import Granularity
from efn_compose.errors import InvalidGenomeError

#: Granularities whose genes number donors and nothing else; empty where unknown.
NUMBERS_DONORS = ("", "stage", "block", "filter")
#: Granularities whose genes mix donors within a block.
_MIXING: dict[str, Granularity] = {
    "unit": "unit",
    "filter": "filter",
    "network_share": "network_share",
    "stage_share": "stage_share",
    "block_share": "block_share",
}


@dataclass(frozen=True)
class GenomeReader:
    """Reads the genomes of one run.

    Args:
        spec: The network, None where unknown.
        loci: Name and segments of each gene; of a block's units together where each has one.
        granularity: The piece of the network that one gene decides; empty if unknown.
        donor_count: Number of donors.
        lineages: Per donor, the number of its lineage; empty where unknown.
        ancestor: Where genes are shares, the donor that all others descend from.
    """

    spec: ArchSpec | None
    loci: tuple[tuple[str, tuple[str, ...]], ...]
    granularity: str
    donor_count: int
    lineages: tuple[int, ...] = ()
    ancestor: int = 0

    @property
    def genes_are_donors(self) -> bool:
        """Whether each gene names the donor of one part of the network."""
        return self.granularity in ("", "stage", "block")

    @cached_property
    def _space(self) -> GenomeSpace | None:
        """The genome space, in which all units weigh alike; None where genes say all."""
        granularity = _MIXING.get(self.granularity)
        if self.spec is None or granularity is None:
            return None
        try:
            return genome_space(
                self.spec,
                self.donor_count,
                granularity,
                lineages=self.lineages,
                ancestor=self.ancestor,
            )
        except InvalidGenomeError:
            return None

    @property
    def share_space(self) -> ShareGenomeSpace | None:
        """The genome space, where genes are shares; None elsewhere and where they cannot be read."""
        return self._space if isinstance(self._space, ShareGenomeSpace) else None

    @property
    def stage_borders(self) -> tuple[int, ...]:
        """First locus of each stage but the first; nothing where loci are unknown."""
        if self._space is not None:
            return self._space.stage_borders
        stages = [name.split("_")[0] for name, _ in self.loci]
        return tuple(n for n in range(1, len(stages)) if stages[n] != stages[n - 1])

    @cached_property
    def _pure(self) -> dict[tuple[float, ...], int]:
        space = self._space
        return {} if space is None else {space.pure(n): n for n in range(self.donor_count)}

    def pure_donor(self, genome: Sequence[float]) -> int | None:
        """Return the donor that everything of a genome comes from; None for a mixture."""
        if self.granularity not in NUMBERS_DONORS:
            return self._pure.get(tuple(genome))
        return int(genome[0]) if len(set(genome)) == 1 else None

    def decode(self, genome: Sequence[float]) -> DonorMap | None:
        """Return the donor map that a genome means; None where it cannot be read.

        Hosts, averages and shares are right. Which units a share consists of depends on
        the donors' weights, which are not looked at here.
        """
        if self._space is not None:
            try:
                return self._space.decode([int(gene) for gene in genome])
            except InvalidGenomeError:
                return None
        if not (self.genes_are_donors and self.loci) or len(self.loci) != len(genome):
            return None
        hosts = {
            segment: int(gene)
            for (_, segments), gene in zip(self.loci, genome, strict=True)
            for segment in segments
        }
        return DonorMap(hosts)
