"""Which combination of a study leads, and which cannot be told from the leader."""

from dataclasses import dataclass

import numpy as np

from efn_compose.assess.studies.blocks import block_means, block_weights, mean_with_error

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
    scores: np.ndarray,
    data_sets: np.ndarray | None = None,
    blocks: np.ndarray | None = None,
    *,
    lower_is_better: bool = True,
) -> Lead:
    """Return the leader over all data sets, and what it is not ahead of by a standard error.

    The leader has the best mean of the combinations that have a score of every training. Each other
    one is compared with it over the trainings that both have. Their differences are averaged within
    a block first, since the seeds of a fold share its images. Then comes a paired t-test, one-sided,
    of the differences of all blocks. Every data set has the same
    share in the mean. The scatter of the differences includes that between data sets, so the
    standard error of their mean is not too small for these data sets as long as all have as many
    blocks, and a lead that one data set alone shows is rarely told apart. For data sets that were
    not studied it is too small.
    Holm's steps (Holm 1979) hold the chance of a wrong difference in any of the comparisons at that
    of one standard error, 15.9 %, for a leader that is named beforehand. This one is chosen by the
    same scores, so that the chance is larger. Of two equal combinations one is called ahead twice
    as often. With fewer than two common blocks nothing is told apart.

    Args:
        scores: (combination, training) float64; NaN where a training failed.
        data_sets: (training,) number of each column's data set; None: all are of one.
        blocks: (training,) number of each column's block, of one data set; None: each is its own.
        lower_is_better: The direction of the score.

    Example:
        >>> find_lead(np.array([[0.10, 0.12], [0.50, 0.53], [0.11, 0.09]])).tied
        (2, 0)
    """
    groups = np.zeros(scores.shape[1], int) if data_sets is None else data_sets
    values = scores if lower_is_better else -scores
    behind = _behind(values, groups, blocks)
    return _lead(behind, holm(_not_ahead(behind)))


def find_leads(
    scores: np.ndarray,
    data_sets: np.ndarray,
    blocks: np.ndarray | None = None,
    *,
    lower_is_better: bool = True,
) -> list[Lead]:
    """Return the lead on each data set alone; Holm's steps go over all their comparisons together.

    Args:
        scores: As for `find_lead`.
        data_sets: (training,) number of each column's data set.
        blocks: As for `find_lead`.
        lower_is_better: The direction of the score.
    """
    values = scores if lower_is_better else -scores
    parts = [
        _behind(values[:, own], data_sets[own], None if blocks is None else blocks[own])
        for own in (data_sets == number for number in range(int(data_sets.max(initial=-1)) + 1))
    ]
    raw = [_not_ahead(part) for part in parts]
    adjusted = np.split(holm(np.concatenate(raw)), np.cumsum([len(one) for one in raw])[:-1])
    return [_lead(*both) for both in zip(parts, adjusted, strict=True)]


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


@dataclass(frozen=True)
class _Behind:
    """By how much combinations are behind the leader.

    Args:
        leader: Its number, or None.
        differences: (combination, block), lower is better; NaN where a pair has no training.
        groups: (block,) number of each block's data set.
    """

    leader: int | None
    differences: np.ndarray
    groups: np.ndarray


def _behind(values: np.ndarray, groups: np.ndarray, blocks: np.ndarray | None) -> _Behind:
    numbers = np.arange(values.shape[1]) if blocks is None else blocks
    own = groups[np.unique(numbers, return_index=True)[1]]
    complete = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(complete):
        return _Behind(None, np.full((len(values), len(own)), np.nan), own)
    leader = int(complete[values[complete].mean(axis=1).argmin()])
    return _Behind(leader, block_means(values - values[leader], numbers), own)


def _lead(behind: _Behind, found: np.ndarray) -> Lead:
    if behind.leader is None:
        return Lead(None, (), found)
    tied = [behind.leader, *(int(p) for p in np.flatnonzero(found > ONE_ERROR))]
    means = []
    for row in behind.differences[tied]:
        known = np.isfinite(row)
        means.append(float(block_weights(behind.groups[known]) @ row[known]))
    return Lead(behind.leader, tuple(tied[n] for n in np.argsort(means, kind="stable")), found)


def _not_ahead(behind: _Behind) -> np.ndarray:
    """Return by combination the one-sided probability of its differences if there were none."""
    found = np.full(len(behind.differences), np.nan)
    wanted = set(behind.groups)
    for point, row in enumerate(behind.differences):
        known = np.isfinite(row)
        has_all = behind.leader is not None and set(behind.groups[known]) == wanted
        if point != behind.leader and has_all:
            found[point] = _probability(row[known], behind.groups[known])
    return found


def _probability(differences: np.ndarray, groups: np.ndarray) -> float:
    from scipy.special import stdtr

    if len(differences) < 2:
        return 1.0
    mean, error = mean_with_error(differences, groups)
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(len(differences) - 1, -mean / error))
