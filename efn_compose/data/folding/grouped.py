"""Splits of whole patients: no patient is in two."""

import numpy as np

from efn_compose.data.folding.class_counts import ClassCounts

#: Random starts; the best one is kept.
STARTS = 8


def assign_groups(
    labels: np.ndarray, groups: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Assign whole groups to splits of given sizes, with nearly equal class shares.

    Greedy like scikit-learn's `StratifiedGroupKFold`, but for parts of unequal size: groups
    with the most uneven classes first, each to the part where the squared distance of all
    class counts from their targets grows least; the best of several orders. Afterwards
    single groups are moved as long as that brings a class to a part that lacks it or lowers
    the distance.

    Args:
        labels: (image,) class numbers.
        groups: (image,) patient numbers.
        weights: (part,) positive shares that sum to 1.
        rng: Breaks ties.

    Returns:
        (image,) int64, the part of each image.

    Example:
        >>> labels, patients = np.array([0, 1, 0, 1]), np.array([7, 7, 9, 9])
        >>> parts = assign_groups(labels, patients, np.array([0.5, 0.5]), np.random.default_rng(1))
        >>> bool(parts[0] == parts[1] != parts[2] == parts[3])
        True
    """
    _, group_of_image = np.unique(groups, return_inverse=True)
    counts = ClassCounts.of(group_of_image, labels, int(labels.max()) + 1)
    # In units of the class's own size, so that a rare class weighs as much as a common one.
    relative = counts.relative()
    spread = counts.spread()
    starts = (_assign_greedily(relative, spread, weights, rng) for _ in range(STARTS))
    tried = (_improve(relative, start, weights) for start in starts)
    best = min(tried, key=lambda assigned: _cost(relative, assigned, weights))
    return best[group_of_image]


def _assign_greedily(
    relative: ClassCounts, spread: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    order = rng.permutation(relative.patients)
    order = order[np.argsort(-spread[order], kind="stable")]
    filled = np.zeros((len(weights), relative.classes))
    assigned = np.empty(relative.patients, np.int64)
    for group in order:
        row = relative.dense(group, group + 1)[0]
        # Growth of sum((filled/weight - 1)^2 * weight), constant terms left out.
        growth = ((2 * filled + row) * row).sum(axis=1) / weights
        part = int(np.argmin(growth))
        assigned[group] = part
        filled[part] += row
    return assigned


def _improve(relative: ClassCounts, assigned: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Move single groups while the cost falls; at most ten sweeps."""
    assigned = assigned.copy()
    filled = _filled(relative, assigned, len(weights))
    for _ in range(10):
        has_moved = False
        for group in range(relative.patients):
            row, here = relative.dense(group, group + 1)[0], assigned[group]
            costs = np.empty(len(weights))
            for there in range(len(weights)):
                moved = filled.copy()
                moved[here] -= row
                moved[there] += row
                costs[there] = _cost_of(moved, weights)
            there = int(np.argmin(costs))
            if costs[there] < costs[here] - 1e-12:
                filled[here] -= row
                filled[there] += row
                assigned[group] = there
                has_moved = True
        if not has_moved:
            break
    return assigned


def _filled(relative: ClassCounts, assigned: np.ndarray, part_count: int) -> np.ndarray:
    filled = np.zeros((part_count, relative.classes))
    np.add.at(filled, (assigned[relative.patient], relative.label), relative.images)
    return filled


def _cost(relative: ClassCounts, assigned: np.ndarray, weights: np.ndarray) -> float:
    return _cost_of(_filled(relative, assigned, len(weights)), weights)


def _cost_of(filled: np.ndarray, weights: np.ndarray) -> float:
    """Return the squared distance from the target shares; a class missing in a part dominates."""
    distance = ((filled / weights[:, None] - 1) ** 2 * weights[:, None]).sum()
    return float(distance + 1e6 * (filled < 1e-12).sum())
