"""Sums of long rows that are nearly all 0, to the bits that numpy gives for the whole row.

numpy adds up a row in halves of halves, and short pieces in eight lanes. Which numbers meet when decides
how a sum is rounded, and a rounding may decide which of two equal folds gets a patient.
"""

import itertools
from collections.abc import Sequence

import numpy as np

_LANES, _PIECE = 8, 128


def additions(places: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Return which of a row's numbers are added to which, in numpy's order.

    Args:
        places: Where the numbers stand, ascending; the row is 0 elsewhere.
        width: Length of the row.

    Returns:
        Pairs (to, what) that count the places; in the end the first place holds the sum.

    Example:
        >>> additions([0, 1, 8], 16)
        [(0, 2), (0, 1)]
    """
    found: list[tuple[int, int]] = []

    def in_turn(slots: list[int]) -> list[int]:
        """Add up one after the other, into the first of those so far; a sum of two has no order."""
        sums = list(itertools.accumulate(slots, min))
        found.extend(zip(sums[1:], map(max, sums, slots[1:]), strict=False))
        return sums[-1:]

    def piece(slots: list[int], start: int, length: int) -> list[int]:
        if len(slots) < 2 or length < _LANES:
            return in_turn(slots)
        if length > _PIECE:
            half = length // 2 // _LANES * _LANES
            low = [slot for slot in slots if places[slot] < start + half]
            high = slots[len(low) :]
            return in_turn(piece(low, start, half) + piece(high, start + half, length - half))
        ends = start + length // _LANES * _LANES
        laned = [slot for slot in slots if places[slot] < ends]
        sums = [
            in_turn([slot for slot in laned if (places[slot] - start) % _LANES == lane])
            for lane in range(_LANES)
        ]
        while len(sums) > 1:
            sums = [in_turn(one + other) for one, other in zip(sums[::2], sums[1::2], strict=True)]
        return in_turn(sums[0] + slots[len(laned) :])

    piece(list(range(len(places))), 0, width)
    return found


def add_up(terms: np.ndarray, order: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the sum over the first axis, added in an order of `additions`; the terms are used up.

    Args:
        terms: (place, ...), at least one place.
        order: Of `additions`.

    Example:
        >>> add_up(np.array([1.0, 2.0, 3.0]), additions([0, 5, 900], 1000))
        np.float64(6.0)
    """
    for to, what in order:
        terms[to] += terms[what]
    return terms[0]
