"""Two or more networks side by side in a large one: an ensemble in one set of weights."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from efn_compose.arch import ArchSpec
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.nesting.compatibility import check_compatible
from efn_compose.nesting.fills import Fill
from efn_compose.nesting.nest import build_nested
from efn_compose.nesting.plan import ExtraRepeats, Positions
from efn_compose.nesting.running.weight_source import WeightSource


def direct_sum(
    *donors_and_target: Donor | ArchSpec | str,
    weights: Sequence[float] | None = None,
    fill: Fill = "he",
    extra_repeats: ExtraRepeats = "end",
    positions: Positions = "leading",
    seed: int = 0,
    images: np.ndarray | None = None,
    dtype: Literal["float32", "float64"] = "float32",
) -> Donor:
    """Place donors side by side in a larger network; its logits are their weighted mean.

    Kernels are block-diagonal, so each donor computes the same as alone; the
    classifier adds their logits. Two B0 fill a B7 exactly, two B5 fit an L2. The
    zero blocks between the donors read living channels, so training fills them.

    Args:
        donors_and_target: Two or more donors, then the target network or its name.
        weights: Share of each donor in the logits, above 0; default equal shares.
        fill: What new channels hold; this and the following as for `nest`.
        extra_repeats: Where blocks go that no donor has.
        positions: Which channels the donors take.
        seed: Decides random values and positions.
        images: RGB (image, height, width, 3), values 0-255, to calibrate new channels on.
        dtype: Of the new tensors.

    Returns:
        A donor of the target network.

    Raises:
        NestingError: They do not fit beside each other; every group is listed.
        IncompatibleDonorsError: They differ in conventions or classes.

    Example:
        >>> both = direct_sum(first_b0, second_b0, "b7")  # doctest: +SKIP
    """
    *given, target = donors_and_target
    donors = [donor for donor in given if isinstance(donor, Donor)]
    if isinstance(target, Donor) or len(donors) < len(given):
        raise ConfigError("direct_sum takes donors and then the target: direct_sum(a, b, 'b7').")
    shares = mean_weights(len(donors), weights)
    check_compatible([WeightSource.of(donor) for donor in donors], shares)
    return build_nested(
        donors,
        target,
        head_weights=shares,
        fill=fill,
        extra_repeats=extra_repeats,
        positions=positions,
        seed=seed,
        images=images,
        dtype=dtype,
    )


def mean_weights(count: int, weights: Sequence[float] | None) -> list[float]:
    """Return each donor's share in the logits, checked.

    Example:
        >>> mean_weights(2, None)
        [0.5, 0.5]
    """
    if count < 2:
        raise ConfigError(f"direct_sum needs two or more donors. Received: {count}.")
    shares = [1 / count] * count if weights is None else [float(weight) for weight in weights]
    are_shares = all(0 < share < np.inf for share in shares) and abs(sum(shares) - 1) <= 1e-6
    if len(shares) != count or not are_shares:
        raise ConfigError(
            f"weights needs {count} numbers above 0, one per donor, that sum to 1. Received: {shares}. "
            "The features of a network without its logits come in by nest: --fill donor --second FILE."
        )
    return shares
