"""The genome space of each granularity."""

from collections.abc import Mapping, Sequence

import numpy as np

from efn_compose.arch import ArchSpec, channel_groups
from efn_compose.compose.filter_space import FilterGenomeSpace
from efn_compose.compose.share_space import ShareGenomeSpace
from efn_compose.compose.space import GenomeSpace, Granularity, expanded_groups
from efn_compose.compose.unit_space import UnitGenomeSpace


def _space_class(granularity: Granularity) -> type[GenomeSpace]:
    classes = (ShareGenomeSpace, FilterGenomeSpace, UnitGenomeSpace)
    return next((found for found in classes if granularity in found.granularities), GenomeSpace)


def most_donors(granularity: Granularity) -> int:
    """Return the most donors that genomes of a granularity can number.

    Example:
        >>> most_donors("block"), most_donors("unit")
        (255, 254)
    """
    return _space_class(granularity).most_donors


def genome_space(
    spec: ArchSpec,
    donor_count: int,
    granularity: Granularity,
    saliency: Sequence[Mapping[str, np.ndarray]] = (),
    lineages: Sequence[int] = (),
    ancestor: int = 0,
) -> GenomeSpace:
    """Return the genome space of a granularity.

    Args:
        spec: The network all donors share.
        donor_count: Number of donors.
        granularity: One of `Granularity`.
        saliency: For "unit", per donor: contributions (unit,) by expanded group. Without it
            all units count alike: hosts and shares decode rightly, the chosen units do not.
        lineages: Per donor, the number of its lineage; see `donors.lineage.lineage_numbers`.
        ancestor: For shares, the donor that the others descend from.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> [len(genome_space(arch_spec("lite0"), 2, g).loci) for g in ("stage", "block", "unit")]
        [9, 18, 68]
    """
    if granularity in ShareGenomeSpace.granularities:
        return ShareGenomeSpace(spec, donor_count, granularity, tuple(lineages), ancestor)
    if granularity == "filter":
        return FilterGenomeSpace(spec, donor_count, lineages=tuple(lineages))
    if granularity != "unit":
        return GenomeSpace(spec, donor_count, granularity, tuple(lineages))
    if not saliency:
        groups = channel_groups(spec)
        equal = {name: np.zeros(groups[name].size) for name in expanded_groups(spec).values()}
        saliency = (equal,) * donor_count
    return UnitGenomeSpace(spec, donor_count, lineages=tuple(lineages), saliency=tuple(saliency))
