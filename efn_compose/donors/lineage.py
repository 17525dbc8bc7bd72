"""Tell from weights alone whether donors descend from one training.

Averages and unaligned mixtures work only within a lineage: fine-tunings of one
checkpoint keep its channel order and stay in its basin, independent trainings
do not. The test needs no data: between independent trainings, kernels in equal
channel order are as good as orthogonal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec, inventory
from efn_compose.arch.layer_names import is_part, norm_of
from efn_compose.donors.donor import Donor
from efn_compose.donors.harmonise import folded_scale
from efn_compose.errors import IncompatibleDonorsError, describe_problems

#: Least cosine of one lineage: well above aligned strangers, well below siblings of a run,
#: see `lineage_cosine` for measured values.
LINEAGE_THRESHOLD = 0.5

#: Key of `Donor.provenance` in which alignment keeps the lineage it would otherwise hide.
LINEAGE_KEY = "lineage"
#: Key of `Donor.provenance` in which alignment says to which donor a donor was aligned.
ALIGNED_KEY = "aligned"


def lineage_cosine(one: Donor, other: Donor) -> float:
    """Return the mean cosine of two donors' expand and project filters, in identity order.

    Filters are compared with the BatchNorm that follows them folded in, so that
    a sign moved between kernel and gamma does not matter. Depthwise filters are
    left out: they look alike in all networks (0.10 between unrelated ones).
    Filters that are zero in one donor, such as those of nested identity blocks,
    are left out as well.

    Args:
        one: A donor.
        other: A donor of the same network.

    Returns:
        A value in [-1, 1]. Measured on ImageNet weights: Lite0 nested into Lite1
        against Lite1 0.000; the same after alignment on 32 px digits 0.07, on 48 px
        digits 0.12, on 192 px photographs 0.26; donors against their fine-tunings
        of one epoch 0.96 to 0.997 (Adam, 2e-3).

    Raises:
        IncompatibleDonorsError: The networks differ, or no filter can be compared.

    Example:
        >>> lineage_cosine(donor, fine_tuned_donor)  # doctest: +SKIP
        0.97
    """
    if not one.spec.same_tensors_as(other.spec):
        raise IncompatibleDonorsError(
            f"{one.name!r} is a {one.spec.variant}, {other.name!r} a {other.spec.variant}: "
            "only donors of one network have a channel order in common. Nest the smaller first."
        )
    cosines = []
    for layer, norm in _compared_layers(one.spec):
        columns, others = (_folded_columns(donor, layer, norm) for donor in (one, other))
        norms = np.linalg.norm(columns, axis=0) * np.linalg.norm(others, axis=0)
        alive = norms > 1e-12
        cosines.append(np.einsum("ic,ic->c", columns, others)[alive] / norms[alive])
    found = np.concatenate(cosines) if cosines else np.empty(0)
    if not found.size:
        raise IncompatibleDonorsError(
            f"{one.name!r} and {other.name!r} have no filter that is alive in both, so their "
            "lineage cannot be judged."
        )
    return float(found.mean())


def lineages(
    donors: Sequence[Donor], threshold: float = LINEAGE_THRESHOLD
) -> list[tuple[int, ...]]:
    """Sort donors into groups that descend from one training each.

    Two donors belong together if their filters agree, or if a chain of donors
    between them does. Alignment makes unrelated donors look related; it records
    the lineage it found, and the record decides if both donors have one.

    Args:
        donors: Donors of one network.
        threshold: Least `lineage_cosine` within a lineage.

    Returns:
        Tuples of donor numbers, each ascending, ordered by their first member.

    Raises:
        IncompatibleDonorsError: The networks differ.

    Example:
        >>> lineages([lite1, nested_lite0, lite1_tuned])  # doctest: +SKIP
        [(0, 2), (1,)]
    """
    group_of = list(range(len(donors)))
    for second in range(len(donors)):
        for first in range(second):
            if group_of[first] != group_of[second] and are_related(
                donors[first], donors[second], threshold
            ):
                old, new = sorted((group_of[first], group_of[second]), reverse=True)
                group_of = [new if group == old else group for group in group_of]
    return [
        tuple(number for number, group in enumerate(group_of) if group == wanted)
        for wanted in sorted(set(group_of))
    ]


def nearest_to_all(donors: Sequence[Donor]) -> int:
    """Return the number of the donor with the least sum of squared distances to all others.

    Fine-tunings leave a checkpoint in nearly orthogonal directions, so the checkpoint lies nearer
    to each of them than they lie to each other. It is therefore the common ancestor, if the
    ancestor is among the donors at all. Of two donors the first is returned.

    Args:
        donors: Donors of one network.

    Raises:
        IncompatibleDonorsError: The networks differ.

    Example:
        >>> nearest_to_all([tuned_on_digits, imagenet, tuned_on_masks])  # doctest: +SKIP
        1
    """
    different = [donor for donor in donors if not donor.spec.same_tensors_as(donors[0].spec)]
    if different:
        raise IncompatibleDonorsError(
            f"{donors[0].name!r} is a {donors[0].spec.variant}, {different[0].name!r} a "
            f"{different[0].spec.variant}: only donors of one network have a common ancestor."
        )
    products = np.zeros((len(donors), len(donors)))
    for layer, norm in _compared_layers(donors[0].spec):
        rows = np.stack([_folded_columns(donor, layer, norm).ravel() for donor in donors])
        rows = rows - rows.mean(axis=0)  # small beside what all have in common
        products += rows @ rows.T
    norms = np.diag(products)
    distances = norms[:, None] + norms - 2 * products
    # Two donors are equally far from each other, up to rounding.
    return 0 if len(donors) < 3 else int(np.argmin(distances.sum(axis=1)))


def lineage_numbers(donors: Sequence[Donor]) -> tuple[int, ...]:
    """Return the number of each donor's lineage, counted from 0.

    Example:
        >>> lineage_numbers([lite1, nested_lite0, lite1_tuned])  # doctest: +SKIP
        (0, 1, 0)
    """
    groups = lineages(donors)
    return tuple(
        next(number for number, group in enumerate(groups) if donor in group)
        for donor in range(len(donors))
    )


def share_basis(donors: Sequence[Donor], numbers: Sequence[int] | None = None) -> bool:
    """Return whether channels of all donors correspond: one lineage, or aligned to one of them.

    Args:
        donors: Donors of one network.
        numbers: Their `lineage_numbers`, where known already.
    """
    numbers = lineage_numbers(donors) if numbers is None else numbers
    bases, labels, own = set(), set(), set()
    for donor, number in zip(donors, numbers, strict=True):
        aligned = donor.provenance.get(ALIGNED_KEY)
        if isinstance(aligned, Mapping):
            bases.add(aligned.get("to_fingerprint"))
            labels.add(aligned.get("to_lineage", aligned.get("to_fingerprint")))
        else:
            own.add(number)
    if len(own) + len(bases) < 2:
        return True
    members = [donor for donor, number in zip(donors, numbers, strict=True) if number in own]
    # Absorbed or trained on, the donor that others were aligned to has another fingerprint, and its basis.
    is_here = bases <= {donor.fingerprint for donor in members} or labels <= {
        donor.provenance.get(LINEAGE_KEY) for donor in members
    } - {None}
    return len(own) == 1 and len(bases) == 1 and is_here


def without_basis(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance that says nothing of the order of channels, for weights in another one.

    Args:
        provenance: Of the weights before. A record of their lineage would decide, and be wrong.
    """
    recorded = (LINEAGE_KEY, ALIGNED_KEY)
    return {key: value for key, value in provenance.items() if key not in recorded}


def are_related(one: Donor, other: Donor, threshold: float = LINEAGE_THRESHOLD) -> bool:
    """Return whether two donors descend from one training."""
    recorded = one.provenance.get(LINEAGE_KEY), other.provenance.get(LINEAGE_KEY)
    if None not in recorded:
        return recorded[0] == recorded[1]
    return lineage_cosine(one, other) >= threshold


def require_one_lineage(donors: Sequence[Donor], what: str) -> None:
    """Refuse donors of several lineages.

    Args:
        donors: Donors of one network.
        what: What needs one lineage, for the message ("A uniform soup").

    Raises:
        IncompatibleDonorsError: There are several lineages; all are listed.
    """
    found = lineages(donors)
    if len(found) > 1:
        raise IncompatibleDonorsError(
            describe_problems(
                f"{what} needs donors that descend from one training. "
                f"These {len(donors)} belong to {len(found)} lineages:",
                [", ".join(repr(donors[number].name) for number in group) for group in found],
                "Use donors of one lineage, or pass allow_unrelated=True to see what happens "
                "(measured: chance level).",
            )
        )


def _compared_layers(spec: ArchSpec) -> list[tuple[str, str]]:
    """Return the convolutions to compare with the BatchNorm that follows each."""
    return [
        (tensor.layer, norm_of(tensor.layer))
        for tensor in inventory(spec)
        if tensor.role == "kernel" and is_part(tensor.layer, "expand_conv", "project_conv")
    ]


def _folded_columns(donor: Donor, layer: str, norm: str) -> np.ndarray:
    """Return a kernel with its BatchNorm folded in, (input, output channel) float64."""
    tensors: Mapping[str, np.ndarray] = donor.tensors
    kernel = tensors[f"{layer}/kernel"]
    scale = folded_scale(tensors, norm, donor.conventions.bn_epsilon)
    return kernel.reshape(-1, kernel.shape[-1]) * scale
