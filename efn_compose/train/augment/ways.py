"""Four ways to change images, each unlike the others: one for every branch of a search."""

from dataclasses import replace
from typing import Any

from efn_compose.train.augment.options import AugmentOptions

#: Settings of each way. None mirrors or turns far: digits and letters would become others.
WAYS: tuple[dict[str, Any], ...] = (
    {"rotation": 10.0, "stretch": 0.2},
    {"brightness": 0.2, "contrast": 0.3, "hue": 0.05},
    {"randaugment_ops": 2, "randaugment_strength": 0.3},
    {"holes": 1, "hole_size": 0.25},
)


def ways_beside(common: AugmentOptions) -> tuple[AugmentOptions, ...]:
    """Return the four ways, each with all that changes every image.

    Args:
        common: What changes every image. Where a way has a setting of its own, that one counts.

    Example:
        >>> [(way.flip_x, way.holes) for way in ways_beside(AugmentOptions(flip_x=0.5))]
        [(0.5, 0), (0.5, 0), (0.5, 0), (0.5, 1)]
    """
    return tuple(replace(common, **way) for way in WAYS)
