"""Axes of a study, and the combinations of their levels that are trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.errors import ConfigError
from efn_compose.jobs.study.options import StudyOptions
from efn_compose.store.study_files import DATA_AXIS


@dataclass(frozen=True)
class Axis:
    """An axis of a study.

    Args:
        name: Such as "width", "resolution" or "train.mixup".
        levels: JSON values; one level is no axis, but is kept for the record.
    """

    name: str
    levels: tuple[Any, ...]


def choose_points(axes: Sequence[Axis], options: StudyOptions, seed: int) -> list[tuple[int, ...]]:
    """Return the combinations that the design asks for: one level number per axis, sorted.

    The data set takes no part in the choice: what is chosen is trained on each of them, so that
    combinations are compared on the same data.

    Args:
        axes: All axes.
        options: Design and number of points.
        seed: Of a sample.

    Raises:
        ConfigError: The design is impossible with these axes.

    Example:
        >>> choose_points([Axis("a", (1, 2)), Axis("b", (3,))], StudyOptions(), 0)
        [(0, 0), (1, 0)]
    """
    data = next((number for number, axis in enumerate(axes) if axis.name == DATA_AXIS), None)
    if data is not None:
        chosen = choose_points([*axes[:data], *axes[data + 1 :]], options, seed)
        sets = range(len(axes[data].levels))
        return sorted((*row[:data], one, *row[data:]) for row in chosen for one in sets)
    counts = [len(axis.levels) for axis in axes]
    total = math.prod(counts)
    if options.design == "fraction":
        return _fraction(axes, options.points)
    if options.design in ("auto", "full"):
        if options.points:
            raise ConfigError(
                "study.points belongs to study.design = 'sample' or 'fraction'. Received: "
                f"{options.points} points of a full grid of {total}."
            )
        numbers = np.arange(total)
    else:
        if not 1 <= options.points <= total:
            raise ConfigError(
                f"study.points: a sample of this grid has 1 to {total} combinations. Received: "
                f"{options.points}."
            )
        numbers = np.random.default_rng([seed, 22]).choice(total, options.points, replace=False)
    places = np.stack(np.unravel_index(np.sort(numbers), counts), axis=1)
    return [tuple(int(number) for number in row) for row in places]


def _fraction(axes: Sequence[Axis], points: int) -> list[tuple[int, ...]]:
    """Return a two-level fraction whose columns are those of a Hadamard matrix of order 2^k.

    Column `c` of Sylvester's matrix is the product of the columns of the bits of `c`. Columns with
    an odd number of bits never are the product of two others of them, so no main effect is mixed
    with the effect of two axes together (resolution IV). They are half of all columns.
    """
    varied = [number for number, axis in enumerate(axes) if len(axis.levels) > 1]
    wrong = [axis.name for axis in axes if len(axis.levels) > 2]
    if wrong:
        raise ConfigError(
            f"study.design = 'fraction' needs axes of two levels. With more: {', '.join(wrong)}. "
            "Take two levels of each, or study.design = 'sample'."
        )
    if not varied:
        raise ConfigError("study.design = 'fraction' needs an axis of two levels. Received: none.")
    runs = points or max(2, 2 ** math.ceil(math.log2(2 * len(varied))))
    if runs & (runs - 1) or runs <= len(varied) or runs > 2 ** len(varied):
        sizes = [2**k for k in range(1, len(varied) + 1) if 2**k > len(varied)]
        raise ConfigError(
            f"study.points: a fraction of {len(varied)} axes has {' or '.join(map(str, sizes))} "
            f"points. Received: {runs}."
        )
    from scipy.linalg import hadamard

    columns = sorted(range(1, runs), key=lambda c: (c.bit_count() % 2 == 0, c.bit_count(), c))
    signs = hadamard(runs)[:, columns[: len(varied)]]
    rows = np.zeros((runs, len(axes)), int)
    rows[:, varied] = signs < 0
    return sorted(tuple(int(level) for level in row) for row in rows)
