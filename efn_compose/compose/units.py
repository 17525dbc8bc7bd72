"""Choose a donor per unit: which expanded channels of a block come from a second donor.

A unit is one expanded channel with everything that makes it: expand column,
BatchNorms, depthwise kernel, squeeze-and-excite row and column, project row. A
block is a sum over its units, so units of two donors can stand side by side,
provided both write into one stream basis (one lineage, or after alignment) and
unit c of one is the counterpart of unit c of the other, which alignment sees to.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from efn_compose.arch.layer_names import layer_of
from efn_compose.compose.space import expanded_groups
from efn_compose.donors import Donor
from efn_compose.donors.harmonise import folded_scale
from efn_compose.errors import ComposeError

Rule = Literal["contribution", "random"]


def contributions(donor: Donor, deviations: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return how much each unit moves the residual stream.

    The deviation of the unit's activation times the length of its project row with
    BatchNorm folded in, as a share of the block's total, so that donors whose
    streams differ in scale can be compared.

    Args:
        donor: A donor.
        deviations: Of the expanded groups, see `donors.activations.channel_deviations`.

    Returns:
        (channel,) float64 by expanded group; each sums to 1 unless all are 0.

    Example:
        >>> saliency = contributions(donor, channel_deviations(donor, images))  # doctest: +SKIP
    """
    found = {}
    for block, group in expanded_groups(donor.spec).items():
        scale = folded_scale(
            donor.tensors, layer_of(block, "project_bn"), donor.conventions.bn_epsilon
        )
        rows = donor.tensors[f"{layer_of(block, 'project_conv')}/kernel"][0, 0] * scale
        value = deviations[group] * np.linalg.norm(rows, axis=1)
        found[group] = value / max(value.sum(), 1e-300)
    return found


def take_units(
    host: int,
    second: int,
    fraction: float,
    *,
    rule: Rule = "contribution",
    host_saliency: np.ndarray | None = None,
    second_saliency: np.ndarray | None = None,
    size: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return the donor of each unit of a block: some from a second donor, the rest from the host.

    Args:
        host: Number of the donor that keeps most units.
        second: Number of the donor that gives some.
        fraction: Share of units that come from the second donor, in [0, 1].
        rule: "contribution" takes the units where the second donor's saliency is
            furthest ahead of the host's, "random" any.
        host_saliency: (unit,), for "contribution".
        second_saliency: (unit,), in the host's order, for "contribution".
        size: Number of units, for "random".
        seed: For "random".

    Returns:
        (unit,) uint8 donor numbers, exactly round(fraction * units) of them `second`.

    Raises:
        ComposeError: The fraction is out of range or something is missing.

    Example:
        >>> take_units(0, 1, 0.5, host_saliency=np.array([4, 1]), second_saliency=np.array([2, 3]))
        array([0, 1], dtype=uint8)
    """
    if not 0 <= fraction <= 1:
        raise ComposeError(f"fraction must lie in [0, 1]. Received: {fraction}.")
    if rule == "contribution" and host_saliency is not None and second_saliency is not None:
        advantage = np.asarray(second_saliency) - np.asarray(host_saliency)
        # Stable, so that ties are resolved alike everywhere.
        order = np.argsort(-advantage, kind="stable")
    elif rule == "random" and size is not None:
        order = np.random.default_rng(seed).permutation(size)
    else:
        raise ComposeError(
            "take_units needs rule='contribution' with both saliencies or rule='random' with size. "
            f"Received: rule={rule!r}."
        )
    units = np.full(len(order), host, np.uint8)
    units[order[: round(fraction * len(order))]] = second
    return units
