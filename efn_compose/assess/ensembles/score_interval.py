"""The interval of a score whose rows may belong together; it never leaves the values the score can have."""

import math

import numpy as np
from scipy.special import stdtrit

from efn_compose.assess.ensembles.scoring import Measure
from efn_compose.assess.evaluation.intervals import (
    Interval,
    certain_ends,
    logit_ends,
    normal_quantile,
    wilson_ends,
)

#: Smaller standard errors are those of rounding.
_ROUNDING = 1e-12


def score_interval(
    measure: Measure,
    value: float,
    standard_error: float,
    labels: np.ndarray,
    clusters: np.ndarray,
    level: float = 0.95,
) -> Interval:
    """Return a score with its interval.

    An accuracy gets Wilson's, with as many trials as rows that do not belong together would need for this
    standard error (Korn and Graubard 1998); an area is symmetric on the logit scale, a loss on that
    of its logarithm. Where each row is a cluster these are the intervals of `assess`; an area's differs
    by DeLong's correction for small classes. Few clusters widen them as Student's t does.

    Args:
        measure: "auc", "loss" or "accuracy".
        value: The score as people know it: a loss is 0 or more.
        standard_error: Over clusters.
        labels: (row,) class numbers.
        clusters: (row,) rows of one number, such as one patient's, vary together; two or more.
        level: Probability of covering.

    Example:
        >>> rows = np.arange(100)
        >>> print(score_interval("accuracy", 0.9, (0.09 / 99) ** 0.5, rows % 2, rows))
        0.9000 [0.8256, 0.9448]
    """
    count, rows = len(np.unique(clusters)), len(labels)
    tail = (1 + level) / 2
    z = normal_quantile(level) * float(stdtrit(count - 1, tail) / stdtrit(rows - 1, tail))
    if measure == "loss":
        factor = math.exp(z * standard_error / value) if value > 0 else 1.0
        low, high = value / factor, value * factor
    elif measure == "accuracy":
        spread = standard_error**2 * (count - 1) / count
        # Clusters that are all equally right differ by rounding alone: then each counts as one trial.
        trials = value * (1 - value) / spread if standard_error > _ROUNDING else count
        low, high = wilson_ends(value, trials, z)
    elif 0 < value < 1:
        low, high = logit_ends(value, standard_error, z)
    else:
        pairs = min(len(np.unique(clusters[labels == label])) for label in np.unique(labels))
        low, high = certain_ends(value, pairs, level)
    return Interval(value, low, high, standard_error, level)
