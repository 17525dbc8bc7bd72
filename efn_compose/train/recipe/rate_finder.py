"""The learning-rate range test: rising rates until the loss explodes, then everything back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.train.recipe.average import assign_all

#: The test ends when the smoothed loss is this many times its best.
_EXPLODED = 4.0
_SMOOTHING = 0.9
#: Updates before an explosion is believed.
_YOUNG = 5


@dataclass(frozen=True)
class RateCurve:
    """The course of a range test.

    Args:
        rates: Learning rate of each update.
        losses: Its loss.
        smoothed: The losses' average, with bias correction.
        rate: The suggestion: a tenth of the rate with the lowest smoothed loss; None where
            the loss never fell.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    rate: float | None

    def to_csv(self) -> str:
        """Return the curve as a table with a header."""
        rows = zip(self.rates, self.losses, self.smoothed, strict=True)
        lines = [f"{rate:.6g},{loss:.6g},{smooth:.6g}" for rate, loss, smooth in rows]
        return "\n".join(["learning_rate,loss,smoothed_loss", *lines]) + "\n"


def find_rate(
    update: Callable[[int, float], float],
    variables: Sequence[Any],
    *,
    updates: int = 100,
    lowest: float = 1e-6,
    highest: float = 1.0,
) -> RateCurve:
    """Train with rates that rise from update to update, then put everything back.

    (Smith 2017, arXiv:1506.01186, section 3.3.)

    Args:
        update: Makes update number n at a rate and returns its loss.
        variables: All that an update changes: weights, statistics, slots, seeds.
        updates: Most updates to make.
        lowest: First rate.
        highest: Last rate.

    Returns:
        The curve; the variables are bit for bit as they were.
    """
    kept = [np.array(variable.numpy()) for variable in variables]
    rates = np.geomspace(lowest, highest, updates)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    try:
        for number, rate in enumerate(rates):
            loss = update(number, float(rate))
            if not np.isfinite(loss):
                break
            average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
            losses.append(loss)
            smoothed.append(average / (1 - _SMOOTHING ** (number + 1)))
            if number > _YOUNG and smoothed[-1] > _EXPLODED * min(smoothed):
                break
    finally:
        assign_all(variables, kept)
    used = tuple(float(rate) for rate in rates[: len(losses)])
    return RateCurve(used, tuple(losses), tuple(smoothed), tenth_of_minimum(used, smoothed))


def tenth_of_minimum(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """Return a tenth of the rate at which the loss is lowest; None if the loss never fell.

    The steepest point, which is often named instead, is a derivative of something noisy.

    Example:
        >>> tenth_of_minimum([0.001, 0.01, 0.1, 1.0], [3.0, 2.0, 1.0, 9.0])
        0.01
    """
    if not len(smoothed):
        return None
    lowest = int(np.argmin(smoothed))
    return rates[lowest] / 10 if lowest > 0 else None
