"""The learning rate of every update, fixed before the first one."""

import numpy as np

from efn_compose.train.options import Schedule, TrainOptions

#: Share of one-cycle's updates in which the rate rises.
_RISING = 0.3
#: One-cycle ends at so small a share of its lowest rate.
_LAST = 1e-3


def learning_rates(options: TrainOptions, updates_per_epoch: int, peak: float) -> np.ndarray:
    """Return the rate of each update of all epochs after the warm-up.

    Args:
        options: Schedule, epochs, cycles and lowest rate of the training.
        updates_per_epoch: Updates of one epoch.
        peak: The highest rate.

    Returns:
        float64 array (update,).

    Example:
        >>> options = TrainOptions(epochs=2, schedule="triangular", lowest_rate=0.0)
        >>> learning_rates(options, 4, 1.0).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25]
    """
    return rates_of(
        options.schedule,
        options.epochs * updates_per_epoch,
        peak,
        period=options.cycle_epochs * updates_per_epoch,
        growth=options.cycle_growth,
        lowest=options.lowest_rate,
    )


def rates_of(
    schedule: Schedule,
    updates: int,
    peak: float,
    *,
    period: float = 1.0,
    growth: float = 1.0,
    lowest: float = 0.0,
) -> np.ndarray:
    """Return the rate of each update of a schedule.

    - "constant": the peak throughout.
    - "cosine": a straight line up over a tenth of the updates, then half a cosine that ends just
      above zero.
    - "triangular": up and down in straight lines, a period each time (Smith 2017,
      arXiv:1506.01186).
    - "one_cycle": up for three tenths of the training, then down to nearly zero, both as half
      cosines (Smith and Topin 2018, arXiv:1708.07120).
    - "cosine_restarts": half a cosine down over a period, then from the peak again, each
      period `growth` times as long (Loshchilov and Hutter 2017, arXiv:1608.03983).
    - "two_forward_one_back": the peak throughout. After every two epochs the weights go
      back half of the way, to the middle between where they are and where they were before
      the two: one epoch's worth of two. No paper has a schedule of that name; this is
      Lookahead (Zhang et al. 2019, arXiv:1907.08610, "k steps forward, 1 step back") with
      k = 2 and alpha = 1/2, a step being an epoch. The optimizer's slots stay.

    Args:
        schedule: One of these.
        updates: Their number, 1 or more.
        peak: The highest rate.
        period: Updates of a triangle, and of the first cosine with restarts.
        growth: Length of a "cosine_restarts" period, relative to the one before.
        lowest: Where cycles begin and end, as a share of the peak.

    Returns:
        float64 array (update,).

    Example:
        >>> [round(rate, 2) for rate in rates_of("cosine", 4, 1.0).tolist()]
        [1.0, 0.85, 0.5, 0.15]
    """
    at = np.arange(updates)
    if schedule in ("constant", "two_forward_one_back"):
        return np.full(updates, peak)
    if schedule == "cosine":
        return peak * _cosine(updates)
    if schedule == "one_cycle":
        return peak * _one_cycle(updates, lowest)
    if schedule == "triangular":
        share = 1 - np.abs(2 * np.mod(at / period, 1) - 1)
    else:
        share = (1 + np.cos(np.pi * _within_period(at, period, growth))) / 2
    return peak * (lowest + (1 - lowest) * share)


def _cosine(count: int) -> np.ndarray:
    rising = count // 10
    up = (np.arange(rising) + 1) / (rising + 1)
    down = (1 + np.cos(np.pi * np.arange(count - rising) / (count - rising))) / 2
    return np.concatenate([up, down])


def _one_cycle(count: int, low: float) -> np.ndarray:
    rising = max(1, round(_RISING * count))
    up = low + (1 - low) * (1 - np.cos(np.pi * np.arange(rising) / rising)) / 2
    falling = max(count - rising - 1, 1)
    down = (1 + np.cos(np.pi * np.arange(count - rising) / falling)) / 2
    end = low * _LAST
    return np.concatenate([up, end + (1 - end) * down])


def _within_period(at: np.ndarray, first: float, growth: float) -> np.ndarray:
    """Return how far each update is in its period, 0 to 1."""
    if growth == 1:
        return np.mod(at / first, 1)
    # Start of period n: first · (growth^n − 1) / (growth − 1). The tiny term is for rounding.
    number = np.floor(np.log1p(at * (growth - 1) / first) / np.log(growth) + 1e-9)
    start = first * (growth**number - 1) / (growth - 1)
    return np.clip((at - start) / (first * growth**number), 0, 1)
