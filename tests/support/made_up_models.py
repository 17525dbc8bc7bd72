"""Forty models really fitted to made-up rows: each sees some inputs, and some may see what they must not."""

import numpy as np

from efn_compose.assess.prediction_store import RowTable

_RIDGE = 5.0
#: What a model adds to the truth on rows that it was trained on: networks know these by heart.
_MEMORY = 0.4


def fitted_models(seed, leaking=0, rows=300, test=1000, models=40, folds=5, inputs=60, effect=1.2):
    """Fit models to rows of two classes.

    Returns:
        Out-of-fold and test probabilities (model, row, class), the rows, labels of the test rows, and the
        numbers of the models that were fitted on all rows, those they predict among them.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, rows + test)
    sign = 2.0 * label - 1
    direction = rng.normal(size=inputs) * (rng.random(inputs) < 0.15)
    direction *= effect / max(np.linalg.norm(direction), 1e-9)
    x = rng.normal(size=(rows + test, inputs)) + sign[:, None] * direction
    fold, test_fold = np.arange(rows) % folds, np.arange(test) % folds
    leaks = sorted(rng.choice(models, leaking, replace=False).tolist())
    found = []
    for model in range(models):
        seen = x[:, rng.choice(inputs, rng.integers(1, 30), replace=False)]
        logits = np.zeros(rows + test)
        for number in range(folds):
            known = np.flatnonzero(fold != number)
            asked = np.concatenate([fold == number, test_fold == number])
            logits[asked] = seen[asked] @ _fitted(seen[known], sign[known])
        if model in leaks:
            logits[:rows] = seen[:rows] @ _fitted(seen[:rows], sign[:rows]) + _MEMORY * sign[:rows]
        found.append(1 / (1 + np.exp(-3 * logits)))
    positive = np.stack(found)
    stated = np.stack([1 - positive, positive], axis=2)
    table = RowTable(
        tuple(map(str, range(rows))), ("",) * rows, label[:rows].astype(np.int64), fold, ("a", "b")
    )
    return stated[:, :rows], stated[:, rows:], table, label[rows:], leaks


def _fitted(known, wanted):
    gram = known.T @ known + _RIDGE * np.eye(known.shape[1])
    return np.linalg.solve(gram, known.T @ wanted)
