"""Match channels of two networks one to one."""

import numpy as np


def best_matching(similarity: np.ndarray) -> np.ndarray:
    """Return the permutation that matches channels with the largest total similarity.

    Args:
        similarity: (donor channel, reference channel), square, finite.

    Returns:
        int array (reference channel,): the donor channel that takes each place, so
        that `np.take(kernel, permutation, axis)` puts a donor into reference order.

    Raises:
        ValueError: The matrix is not square or not finite.

    Example:
        >>> best_matching(np.array([[0.1, 0.9], [0.8, 0.7]]))
        array([1, 0])
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"A matching needs a square matrix. Received: {similarity.shape}.")
    # Imported here because scipy would double the time that `import efn_compose` takes.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(similarity, maximize=True)
    permutation = np.empty(len(rows), np.intp)
    permutation[columns] = rows
    return permutation


def matched_mean(similarity: np.ndarray, permutation: np.ndarray) -> float:
    """Return the mean similarity of matched channels.

    Example:
        >>> matched_mean(np.array([[0.0, 1.0], [0.5, 0.0]]), np.array([1, 0]))
        0.75
    """
    return float(similarity[permutation, np.arange(len(permutation))].mean())
