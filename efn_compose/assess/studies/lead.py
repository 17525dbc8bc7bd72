"""Which combination of a study leads, and which cannot be told from the leader."""

from dataclasses import dataclass

import numpy as np

from efn_compose.assess.studies.blocks import block_weights, mean_with_error

#: One-sided probability of a standard normal beyond one standard error.
ONE_ERROR = 0.15865525393145707


@dataclass(frozen=True)
class Lead:
    """The leader of a study.

    Args:
        leader: The combination with the best mean; None where none has all blocks.
        tied: Combinations that the leader is not ahead of, best first, the leader among them.
        probability: By combination, the p-value after Holm's steps: how often equal combinations
            would differ so much by chance, were the leader not chosen by the same scores. NaN for
            the leader and where no difference can be formed.
    """

    leader: int | None
    tied: tuple[int, ...]
    probability: np.ndarray

    @property
    def is_alone(self) -> bool:
        """Whether the leader is ahead of every other combination."""
        return len(self.tied) == 1


def find_lead(
    scores: np.ndarray, data_sets: np.ndarray | None = None, *, lower_is_better: bool = True
) -> Lead:
    """Return the leader over all data sets, and what it is not ahead of by a standard error.

    The leader has the best mean of the combinations that have a score in every block. Each other
    one is compared with it over the blocks that both have, a block being a data set, a fold and a
    seed: a paired t-test, one-sided, of the differences of all blocks. Every data set has the same
    share in the mean. The scatter of the differences includes that between data sets, so the
    standard error of their mean is not too small for these data sets as long as all have as many
    blocks, and a lead that one data set alone shows is rarely told apart. For data sets that were
    not studied it is too small.
    Holm's steps (Holm 1979) hold the chance of a wrong difference in any of the comparisons at that
    of one standard error, 15.9 %, for a leader that is named beforehand. This one is chosen by the
    same scores, so that the chance is larger. Of two equal combinations one is called ahead twice
    as often. With fewer than two common blocks nothing is told apart.

    Args:
        scores: (combination, block) float64; NaN where a training failed.
        data_sets: (block,) number of each block's data set; None: all are of one.
        lower_is_better: The direction of the score.

    Example:
        >>> find_lead(np.array([[0.10, 0.12], [0.50, 0.53], [0.11, 0.09]])).tied
        (2, 0)
    """
    groups = np.zeros(scores.shape[1], int) if data_sets is None else data_sets
    values = scores if lower_is_better else -scores
    leader = _leader(values)
    return _lead(values, groups, leader, holm(_not_ahead(values, groups, leader)))


def find_leads(
    scores: np.ndarray, data_sets: np.ndarray, *, lower_is_better: bool = True
) -> list[Lead]:
    """Return the lead on each data set alone; Holm's steps go over all their comparisons together.

    Args:
        scores: As for `find_lead`.
        data_sets: (block,) number of each block's data set.
        lower_is_better: The direction of the score.
    """
    values = scores if lower_is_better else -scores
    parts = [values[:, data_sets == number] for number in range(int(data_sets.max(initial=-1)) + 1)]
    leaders = [_leader(part) for part in parts]
    # Within a part all blocks are of one data set.
    groups = [np.zeros(part.shape[1], int) for part in parts]
    raw = [_not_ahead(*both) for both in zip(parts, groups, leaders, strict=True)]
    adjusted = np.split(holm(np.concatenate(raw)), np.cumsum([len(one) for one in raw])[:-1])
    return [_lead(*all_of) for all_of in zip(parts, groups, leaders, adjusted, strict=True)]


def holm(probabilities: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted probabilities (Holm 1979).

    Args:
        probabilities: (test,) in 0-1; NaN stands for no test.

    Example:
        >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).tolist()
        [0.03, 0.06, nan, 0.06]
    """
    known = np.flatnonzero(np.isfinite(probabilities))
    order = known[np.argsort(probabilities[known], kind="stable")]
    steps = np.arange(len(order), 0, -1)
    adjusted = np.full(len(probabilities), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(probabilities[order] * steps), 1.0)
    return adjusted


def _leader(values: np.ndarray) -> int | None:
    complete = np.flatnonzero(np.isfinite(values).all(axis=1))
    return int(complete[values[complete].mean(axis=1).argmin()]) if len(complete) else None


def _lead(values: np.ndarray, groups: np.ndarray, leader: int | None, found: np.ndarray) -> Lead:
    if leader is None:
        return Lead(None, (), found)
    tied = [leader, *(int(p) for p in np.flatnonzero(found > ONE_ERROR))]
    behind = []
    for point in tied:
        difference = values[point] - values[leader]
        known = np.isfinite(difference)
        behind.append(float(block_weights(groups[known]) @ difference[known]))
    return Lead(leader, tuple(tied[n] for n in np.argsort(behind, kind="stable")), found)


def _not_ahead(values: np.ndarray, groups: np.ndarray, leader: int | None) -> np.ndarray:
    """Return by combination the one-sided probability of its differences if there were none."""
    found = np.full(len(values), np.nan)
    if leader is None:
        return found
    wanted = set(groups)
    for point, row in enumerate(values):
        known = np.isfinite(row)
        if point != leader and set(groups[known]) == wanted:
            found[point] = _probability((row - values[leader])[known], groups[known])
    return found


def _probability(differences: np.ndarray, groups: np.ndarray) -> float:
    from scipy.special import stdtr

    if len(differences) < 2:
        return 1.0
    mean, error = mean_with_error(differences, groups)
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(len(differences) - 1, -mean / error))
