"""Blocks: what every combination meets alike, a data set and a fold; its seeds are averaged.

Seeds of a fold share its images, and with them what the images do to a combination. Taken as
blocks of their own they would make every error too small. Where a data set has a single fold,
nothing else is there, and each seed is a block: the luck of the images is in no error then.

Scores of different data sets differ by how hard the data are. They are compared within a block,
and put together only as differences.
"""

import numpy as np


def centred(scores: np.ndarray) -> np.ndarray:
    """Return scores less the mean of their column, (combination, training).

    The mean is that of the combinations with a score in every column, so that a failed training
    moves no other score. Where there is none, it is that of all scores of the column.

    Args:
        scores: (combination, training) float64; NaN where a training failed. A column is a data
            set, a fold and a seed.

    Example:
        >>> centred(np.array([[0.1, 1.1], [0.3, 1.5]])).round(2).tolist()
        [[-0.1, -0.2], [0.1, 0.2]]
    """
    complete = np.isfinite(scores).all(axis=1)
    return scores - known_means(scores[complete] if complete.any() else scores, axis=0)


def known_means(values: np.ndarray, axis: int) -> np.ndarray:
    """Return means over an axis of what is not NaN; NaN where nothing is known.

    Args:
        values: (a, b).
        axis: That is averaged over.

    Example:
        >>> known_means(np.array([[1.0, np.nan], [2.0, 3.0]]), axis=1).tolist()
        [1.0, 2.5]
    """
    counts = np.isfinite(values).sum(axis=axis)
    return np.where(counts, np.nansum(values, axis=axis) / np.maximum(counts, 1), np.nan)


def block_means(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Return the mean of what is known of each block, (combination, block); NaN where nothing is.

    Args:
        values: (combination, training) float64; NaN where a training failed.
        blocks: (training,) numbers; the blocks come out in their order.

    Example:
        >>> block_means(np.array([[1.0, 3.0, 5.0, np.nan]]), np.array([0, 0, 1, 1])).tolist()
        [[2.0, 5.0]]
    """
    columns = [known_means(values[:, blocks == number], axis=1) for number in np.unique(blocks)]
    return np.stack(columns, axis=1)


def means_by_data_set(scores: np.ndarray, data_sets: np.ndarray) -> np.ndarray:
    """Return the mean of each combination on each data set, (combination, data set).

    Args:
        scores: (combination, block) float64; NaN where a training failed.
        data_sets: (block,) number of each block's data set.
    """
    numbers = range(int(data_sets.max(initial=-1)) + 1)
    columns = [known_means(scores[:, data_sets == number], axis=1) for number in numbers]
    return np.stack(columns, axis=1)


def mean_with_error(values: np.ndarray, data_sets: np.ndarray) -> tuple[float, float]:
    """Return a mean in which every data set has the same share, and its standard error.

    The error counts the scatter between data sets with that within them. It is NaN for one value.

    Args:
        values: (block,) float64, all known.
        data_sets: (block,) number of each block's data set.

    Example:
        >>> mean, error = mean_with_error(np.array([1.0, 3.0, 5.0, 9.0]), np.array([0, 0, 0, 1]))
        >>> round(mean, 12)
        6.0
    """
    weights = block_weights(data_sets)
    mean, share = float(weights @ values), float(weights @ weights)
    if len(values) < 2:
        return mean, float("nan")
    # With equal weights that is the textbook's variance and its error.
    variance = float(weights @ np.square(values - mean)) / (1 - share)
    return mean, float(np.sqrt(variance * share))


def block_weights(data_sets: np.ndarray) -> np.ndarray:
    """Return weights (block,) that give every data set the same share; they add up to 1.

    Args:
        data_sets: (block,) number of each block's data set.

    Example:
        >>> block_weights(np.array([0, 0, 1])).tolist()
        [0.25, 0.25, 0.5]
    """
    _, place, counts = np.unique(data_sets, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(counts) * counts[place]))
