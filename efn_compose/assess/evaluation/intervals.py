"""A measured value with its uncertainty, and the interval of a share."""

import math
from dataclasses import dataclass
from statistics import NormalDist

from efn_compose.errors import ConfigError


@dataclass(frozen=True)
class Interval:
    """A value and the interval that covers the true one with a stated probability.

    Args:
        value: The measured value.
        low: Lower end.
        high: Upper end.
        standard_error: Of the value; 0 where the sample shows no variation.
        level: Probability of covering, such as 0.95.
    """

    value: float
    low: float
    high: float
    standard_error: float
    level: float = 0.95

    def __str__(self) -> str:
        """Return value and ends with four decimals."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def normal_quantile(level: float) -> float:
    """Return the z of a two-sided interval, 1.96 for 0.95.

    Raises:
        ConfigError: The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level must lie between 0 and 1. Received: {level!r}.")
    return NormalDist().inv_cdf((1 + level) / 2)


def share_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Return a share with its score interval (Wilson 1927), which holds near 0 and 1 too.

    Args:
        successes: 0 to `trials`.
        trials: 1 or more.
        level: Probability of covering.

    Raises:
        ConfigError: Counts or level make no sense.

    Example:
        >>> print(share_interval(90, 100))
        0.9000 [0.8256, 0.9448]
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ConfigError(
            f"needed: 0 <= successes <= trials, and a trial. Received: {successes} of {trials}."
        )
    z = normal_quantile(level)
    share = successes / trials
    shrink = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / shrink
    spread = z / shrink * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return Interval(
        value=share,
        low=max(0.0, centre - spread) if successes else 0.0,
        high=min(1.0, centre + spread) if successes < trials else 1.0,
        standard_error=math.sqrt(share * (1 - share) / trials),
        level=level,
    )
