"""Means and variances per channel, also over several sets together."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class ChannelMoments:
    """The statistics that a BatchNorm keeps of its inputs.

    Args:
        count: How much the set counts beside others: its images, or its positions.
        mean: (channel,).
        variance: (channel,), the mean squared distance from the mean, as BatchNorm takes it.
    """

    count: int
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, dtype: Any = None) -> "ChannelMoments":
        """Return the moments of an array.

        Args:
            values: (..., channel).
            dtype: Of the sums; default the array's own.

        Example:
            >>> found = ChannelMoments.of(np.array([[1.0, 5.0], [3.0, 5.0]]))
            >>> found.count, found.mean.tolist(), found.variance.tolist()
            (2, [2.0, 5.0], [1.0, 0.0])
        """
        axes = tuple(range(values.ndim - 1))
        count = int(np.prod(values.shape[:-1]))
        return cls(count, values.mean(axis=axes, dtype=dtype), values.var(axis=axes, dtype=dtype))


def joined(parts: Iterable[ChannelMoments]) -> ChannelMoments:
    """Return the moments of several sets together (Chan, Golub and LeVeque 1983).

    The spread between the sets' means counts; no large numbers are subtracted from one another.

    Args:
        parts: One or more.

    Example:
        >>> halves = [ChannelMoments.of(np.array([[1.0]])), ChannelMoments.of(np.array([[3.0]]))]
        >>> joined(halves).variance.tolist()
        [1.0]
    """
    return reduce(_both, parts)


def _both(first: ChannelMoments, second: ChannelMoments) -> ChannelMoments:
    count = first.count + second.count
    share = second.count / count
    apart = second.mean - first.mean
    mean = first.mean + apart * share
    variance = (1 - share) * first.variance + share * second.variance
    return ChannelMoments(count, mean, variance + share * (1 - share) * apart**2)
