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
    share = successes / trials
    low, high = wilson_ends(share, trials, normal_quantile(level))
    return Interval(share, low, high, math.sqrt(share * (1 - share) / trials), level)


def wilson_ends(share: float, trials: float, z: float) -> tuple[float, float]:
    """Return both ends of Wilson's interval.

    Args:
        share: 0 to 1.
        trials: How many independent ones it is of, above 0; not whole where trials are related.
        z: Standard errors to each side.
    """
    shrink = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / shrink
    spread = z / shrink * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return (
        max(0.0, centre - spread) if share > 0 else 0.0,
        min(1.0, centre + spread) if share < 1 else 1.0,
    )


def logit_ends(value: float, standard_error: float, z: float) -> tuple[float, float]:
    """Return both ends of an interval that is symmetric on the logit scale, and so within 0 to 1.

    Args:
        value: Above 0 and below 1.
        standard_error: Of the value.
        z: Standard errors to each side.
    """
    logit = math.log(value / (1 - value))
    spread = z * standard_error / (value * (1 - value))
    low, high = (0.5 * (1 + math.tanh((logit + side * spread) / 2)) for side in (-1, 1))
    return low, high


def certain_ends(value: float, pairs: int, level: float) -> tuple[float, float]:
    """Return both ends for an area of 0 or 1, which shows no variation.

    The open end is the area at which so many disjoint pairs would all be in order with probability
    (1 - level) / 2: conservative and exact.

    Args:
        value: 0 or 1.
        pairs: How many the smaller class allows.
        level: Probability of covering.
    """
    bound = ((1 - level) / 2) ** (1 / pairs)
    return (bound, 1.0) if value else (0.0, 1 - bound)
