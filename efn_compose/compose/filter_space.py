"""Expert mode: one gene per expanded unit, for donors whose channels correspond.

Thousands of genes against some hundred noisy evaluations: no search can learn what a
single unit is worth, so this is for comparison, for long runs, and for donors of one
lineage, where any choice of units stays in the basin. `UnitGenomeSpace` says the same
in some dozen genes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from efn_compose.arch import channel_groups
from efn_compose.compose.space import (
    DonorMap,
    GenomeSpace,
    Granularity,
    Locus,
    expanded_groups,
    segments,
)


@dataclass(frozen=True)
class FilterGenomeSpace(GenomeSpace):
    """All genomes with a donor number per unit.

    Genes in network order: the host of each segment ("stem", "stage2_block1", ...,
    "top"), which gives what is no unit's own (residual stream, squeeze-and-excite's
    hidden units), and after each block's host the donor of each of its units.

    Args:
        spec: The network all donors share.
        donor_count: Number of donors; of one lineage, or aligned.
        granularity: Always "filter".
        lineages: Per donor, the number of its lineage; empty where unknown.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> space = FilterGenomeSpace(arch_spec("b0"), 2)
        >>> len(space.loci), space.decode(space.pure(1)).is_pure
        (8946, True)
    """

    granularities: ClassVar[tuple[str, ...]] = ("filter",)

    granularity: Granularity = "filter"

    @cached_property
    def _layout(self) -> tuple[tuple[str, int, int], ...]:
        """Of each segment: its name, the place of its host gene, and the place behind its units."""
        groups, expanded = channel_groups(self.spec), expanded_groups(self.spec)
        found, place = [], 0
        for name in segments(self.spec):
            size = groups[expanded[name]].size if name in expanded else 0
            found.append((name, place, place + 1 + size))
            place += 1 + size
        return tuple(found)

    @cached_property
    def loci(self) -> tuple[Locus, ...]:
        """The positions of the genome, in network order."""
        return tuple(
            Locus(f"{name}_unit{place - start}" if place > start else name, (name,))
            for name, start, stop in self._layout
            for place in range(start, stop)
        )

    @cached_property
    def clusters(self) -> tuple[tuple[int, int], ...]:
        """Ranges (start, stop) of the genes of each block's units."""
        return tuple((start + 1, stop) for _, start, stop in self._layout if stop > start + 1)

    @property
    def switch_positions(self) -> tuple[int, ...]:
        """Positions where a first genome may switch donors: before each segment."""
        return tuple(start for _, start, _ in self._layout[1:])

    @property
    def locus_table(self) -> list[dict[str, Any]]:
        """Name and segments of the genes, a block's units in one entry with their `count`."""
        found: list[dict[str, Any]] = []
        for name, start, stop in self._layout:
            found.append({"name": name, "segments": [name]})
            if stop > start + 1:
                entry = {"name": f"{name}_units", "segments": [name], "count": stop - start - 1}
                found.append(entry)
        return found

    def decode(self, genome: Sequence[int]) -> DonorMap:
        """Return the explicit donor map of a genome."""
        genes = np.array(self.check(genome), np.uint8)
        expanded = expanded_groups(self.spec)
        hosts = {name: int(genes[start]) for name, start, _ in self._layout}
        units = {
            expanded[name]: genes[start + 1 : stop]
            for name, start, stop in self._layout
            if (genes[start + 1 : stop] != genes[start]).any()
        }
        return DonorMap(hosts, units)
