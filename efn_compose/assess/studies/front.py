"""The points that no other point beats in cost and score at once."""

import numpy as np


def pareto_front(costs: np.ndarray, scores: np.ndarray) -> list[int]:
    """Return the points of the Pareto front, the cheapest first.

    A point is on the front where no other is at most as dear and at most as bad, and better in
    one of both.

    Args:
        costs: (point,), lower is better; NaN where unknown.
        scores: (point,), lower is better; NaN where unknown.

    Example:
        >>> pareto_front(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.6, 0.4]))
        [0, 2]
    """
    known = np.flatnonzero(np.isfinite(costs) & np.isfinite(scores))
    order = known[np.lexsort((scores[known], costs[known]))]
    front: list[int] = []
    for point in order:
        last = front[-1] if front else None
        is_better = last is None or scores[point] < scores[last]
        if is_better or (scores[point], costs[point]) == (scores[last], costs[last]):
            front.append(int(point))
    return front
