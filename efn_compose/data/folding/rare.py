"""Every class in every fold: of a class with about as many patients as folds, each has its place."""

import numpy as np

from efn_compose.data.folding.class_counts import ClassCounts
from efn_compose.data.folding.fold_quality import count_cells

#: Patients of a class per fold up to which they may be moved.
_RARE = 4
#: Seconds to look for places; where they are over, the folds stay as they are.
_PATIENCE = 30.0


def with_every_class(counts: ClassCounts, fold: np.ndarray, folds: int) -> np.ndarray:
    """Return folds of which each has every class, with as few images moved as that takes.

    Patients who have a rare class may move, all others stay. The moves are the solution of an
    integer programme. Folds that miss nothing are returned as they are, and so are those that
    cannot be mended.

    Args:
        counts: Images of each patient and class.
        fold: (patient,) fold of each patient.
        folds: Number of folds, at most the patients of the rarest class.

    Example:
        >>> counts = ClassCounts.of(np.arange(4), np.array([0, 0, 1, 1]), 2)
        >>> sorted(with_every_class(counts, np.array([0, 0, 1, 1]), 2)[:2].tolist())
        [0, 1]
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, vstack

    classes, home = counts.classes, fold[counts.patient]
    having = count_cells(home * classes + counts.label, folds, classes)
    if having.all():
        return fold
    is_rare = (counts.class_patients <= _RARE * folds) | ~having.all(axis=0)
    free = np.unique(counts.patient[is_rare[counts.label]])
    # Variable p · folds + f says whether the free patient p is in fold f.
    variables = len(free) * folds
    columns = np.arange(variables)
    once = coo_array((np.ones(variables), (columns // folds, columns)))
    is_free = np.isin(counts.patient, free)
    place = np.searchsorted(free, counts.patient[is_free])
    every = np.arange(folds)
    cells = (every * classes + counts.label[is_free, None]).ravel()
    chosen = (place[:, None] * folds + every).ravel()
    shape = (folds * classes, variables)
    present = coo_array((np.ones(len(cells)), (cells, chosen)), shape=shape)
    stays = home[~is_free] * classes + counts.label[~is_free]
    fixed = count_cells(stays, folds, classes).ravel()
    moved = np.repeat(counts.sizes[free], folds)
    moved[np.arange(len(free)) * folds + fold[free]] = 0
    found = milp(
        moved,
        integrality=np.ones(variables),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(
            vstack([once, present]).tocsr(),
            np.concatenate([np.ones(len(free)), 1 - np.minimum(fixed, 1)]),
            np.concatenate([np.ones(len(free)), np.full(shape[0], np.inf)]),
        ),
        options={"time_limit": _PATIENCE},
    )
    if not found.success:
        return fold
    mended = fold.copy()
    mended[free] = found.x.reshape(len(free), folds).argmax(axis=1)
    return mended
