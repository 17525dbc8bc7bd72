"""Model soups: averages of donors that descend from one training.

Averaging works inside one basin of the loss, that is among fine-tunings of one
checkpoint, and yields chance level elsewhere; so donors of several lineages are
refused. BatchNorm statistics of an average are only a first guess (activations
shrink when weights are averaged) and must be re-estimated, see
`efn_compose.statistics.repair`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from efn_compose.arch import HEAD_LAYER, ArchSpec, inventory
from efn_compose.compose.averaging import average_tensor
from efn_compose.compose.space import TOP, head_segment, segment_of, segments
from efn_compose.donors import Donor, require_harmonised
from efn_compose.donors.lineage import require_one_lineage
from efn_compose.errors import ComposeError

#: Weight of each donor, (donor,), summing to 1.
Weights = Sequence[float]


def uniform_soup(donors: Sequence[Donor], *, allow_unrelated: bool = False) -> Donor:
    """Return the plain average of donors (Wortsman et al. 2022, arXiv:2203.05482).

    Args:
        donors: Harmonised donors of one lineage.
        allow_unrelated: Average across lineages too, to see what happens.

    Raises:
        IncompatibleDonorsError: Not harmonised, or of several lineages.

    Example:
        >>> soup = uniform_soup(fine_tunings)  # doctest: +SKIP
    """
    return weighted_soup(
        donors, [1 / max(len(donors), 1)] * len(donors), allow_unrelated=allow_unrelated
    ).replace(name="uniform_soup")


def weighted_soup(
    donors: Sequence[Donor],
    weights: Weights | Mapping[str, Weights],
    *,
    allow_unrelated: bool = False,
) -> Donor:
    """Return a weighted average of donors, with one set of weights or one per segment.

    Means and variances of BatchNorm are pooled: the variance of a mixture counts
    the distance between the means. A donor whose weight is 1 comes out unchanged.

    Args:
        donors: Harmonised donors of one lineage.
        weights: (donor,), summing to 1; or by segment ("stem", "stage3_block2",
            "top"; the classifier belongs to "top"). All segments must be given.
            Weights outside 0-1 extrapolate.
        allow_unrelated: Average across lineages too.

    Raises:
        IncompatibleDonorsError: Not harmonised, or of several lineages.
        ComposeError: Weights do not fit the donors or segments; all are listed.

    Example:
        >>> half = weighted_soup([a, b], [0.5, 0.5])  # doctest: +SKIP
    """
    require_harmonised(donors)
    if not allow_unrelated:
        require_one_lineage(donors, "An average")
    spec = donors[0].spec
    by_segment = _by_segment(spec, weights, len(donors))
    tensors = {}
    for tensor in inventory(spec, donors[0].classes):
        segment = TOP if tensor.layer == HEAD_LAYER else segment_of(tensor)
        share = by_segment.get(segment, by_segment[head_segment(spec)])
        tensors[tensor.name] = average_tensor(tensor, [d.tensors for d in donors], share)
    record = {
        "donors": [donor.fingerprint for donor in donors],
        "weights": {segment: list(map(float, share)) for segment, share in by_segment.items()}
        if isinstance(weights, Mapping)
        else list(map(float, weights)),
    }
    return donors[0].replace(
        name="weighted_soup", tensors=tensors, provenance={**donors[0].provenance, "blend": record}
    )


def _by_segment(
    spec: ArchSpec, weights: Weights | Mapping[str, Weights], donor_count: int
) -> dict[str, np.ndarray]:
    """Return checked weights for every segment."""
    names = segments(spec)
    given = weights if isinstance(weights, Mapping) else dict.fromkeys(names, weights)
    problems = [f"+ unknown: {name}" for name in given if name not in names]
    problems += [f"- missing: {name}" for name in names if name not in given]
    for name, share in given.items():
        if len(share) != donor_count or not np.isclose(sum(share), 1, atol=1e-6):
            problems.append(f"{name}: {list(share)}")
    if problems:
        shown = "\n  ".join(problems[:10] + ["…"] * (len(problems) > 10))
        raise ComposeError(
            f"A soup needs {donor_count} weights that sum to 1, for all donors or per segment. "
            f"Received:\n  {shown}"
        )
    return {name: np.asarray(given[name], np.float64) for name in names}
