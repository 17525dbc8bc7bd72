"""Distance between stated probability and observed frequency (Guo et al. 2017, arXiv:1706.04599)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from efn_compose.errors import ConfigError, DataError


@dataclass(frozen=True)
class CalibrationBin:
    """Images whose stated probability falls into one bin.

    Args:
        low: Lower end of the bin, included.
        high: Upper end; included in the last bin only.
        images: How many.
        stated: Mean stated probability; NaN in an empty bin.
        observed: Share for which it came true; NaN in an empty bin.
    """

    low: float
    high: float
    images: int
    stated: float
    observed: float


def calibration(
    stated: np.ndarray,
    came_true: np.ndarray,
    bins: int = 15,
    by: Literal["width", "count"] = "width",
) -> tuple[float, list[CalibrationBin]]:
    """Return the expected calibration error and the bins behind it.

    The error is the mean, over images, of the distance between a bin's mean stated
    probability and its observed frequency: 0 is perfect, 1 the worst. Finite bins
    of a perfect predictor show a little above 0.

    Args:
        stated: (image,) probabilities, 0 to 1.
        came_true: (image,) bool.
        bins: Number of bins.
        by: "width": equally wide bins of 0 to 1; "count": equally many images in each, equal
            probabilities together.

    Raises:
        ConfigError: `bins` or `by` makes no sense.
        DataError: No images, lengths differ, or a probability outside 0 to 1.

    Example:
        >>> error, table = calibration(np.array([0.9, 0.9, 0.2]), np.array([True, False, False]), 2)
        >>> round(error, 4), [row.images for row in table]
        (0.3333, [1, 2])
    """
    stated, came_true = np.asarray(stated, np.float64), np.asarray(came_true, bool)
    if bins < 1 or by not in ("width", "count"):
        raise ConfigError(
            f"bins must be 1 or more, by 'width' or 'count'. Received: {bins!r}, {by!r}."
        )
    if stated.shape != came_true.shape or stated.ndim != 1 or not len(stated):
        raise DataError(
            "probabilities and outcomes must be (image,), at least one. Received: "
            f"{stated.shape} and {came_true.shape}."
        )
    if not ((stated >= 0) & (stated <= 1)).all():
        raise DataError("probabilities must lie between 0 and 1.")
    edges = np.linspace(0, 1, bins + 1)
    if by == "count":
        inner = np.unique(np.sort(stated)[np.arange(1, bins) * len(stated) // bins])
        edges = np.concatenate([[0.0], inner[inner > stated.min()], [1.0]])
    place = np.searchsorted(edges[1:-1], stated, side="right")
    count = len(edges) - 1
    images = np.bincount(place, minlength=count)
    divisor = np.where(images, images, np.nan)
    means = np.bincount(place, stated, count) / divisor
    shares = np.bincount(place, came_true, count) / divisor
    error = float(np.nansum(np.abs(means - shares) * images) / len(stated))
    table = [
        CalibrationBin(float(low), float(high), int(n), float(mean), float(share))
        for low, high, n, mean, share in zip(
            edges[:-1], edges[1:], images, means, shares, strict=True
        )
    ]
    return error, table
