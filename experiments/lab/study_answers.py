"""What two ready-made studies answer: does compound scaling hold; does ranking without training do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import rankdata

from efn_compose.analysis.reading.study.free_scores import FREE_NAMES, free_pairs
from efn_compose.analysis.reading.study.view import StudyView
from efn_compose.assess.studies.lead import Lead, find_lead, find_leads

_RESAMPLINGS = 2000


@dataclass(frozen=True)
class Growth:
    """What a doubling of multiply-adds changes when one axis alone makes it, with 95 % intervals.

    Args:
        axis: Such as "width".
        mean: Change of the score.
        low: Lower end.
        high: Upper end.
    """

    axis: str
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it as a table shows it."""
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low * self.high > 0


def growths(view: StudyView, score: str, data: int | None = None) -> list[Growth]:
    """Return what growing each axis is worth: a straight line in doublings, a mean per block.

    Args:
        view: A study of axes with numbers as levels.
        score: Name of the score.
        data: Number of a data set; None: all of them.
    """
    logs = np.array(
        [[np.log2(levels[n]) for (_, levels), n in zip(view.axes, row, strict=True)]
         for row in view.levels]
    )  # fmt: skip
    design = np.column_stack([np.ones(len(logs)), logs])
    # Doublings of multiply-adds for each doubling of a level.
    doublings = np.linalg.lstsq(design, np.log2(view.multiply_adds), rcond=None)[0][1:]
    scores = view.in_blocks(view.matrix(score))
    if data is not None:
        scores = scores[:, view.block_data == data]
    rows, blocks = np.nonzero(np.isfinite(scores))
    count = scores.shape[1]
    design = np.column_stack([np.eye(count)[blocks], (logs * doublings)[rows]])
    values = scores[rows, blocks]
    inverse = np.linalg.pinv(design)
    weights = inverse @ values
    freedom = len(values) - design.shape[1]
    variance = float(np.square(values - design @ weights).sum()) / freedom
    reach = stdtrit(freedom, 0.975) * np.sqrt(variance * np.diag(inverse @ inverse.T))
    return [
        Growth(axis, float(w), float(w - r), float(w + r))
        for (axis, _), w, r in zip(view.axes, weights[count:], reach[count:], strict=True)
    ]


@dataclass(frozen=True)
class Compound:
    """The network grown on all axes alike, beside all that cost no more.

    Args:
        combination: Its number.
        rivals: Combinations compared, itself among them.
        lead: Over all data sets; numbers are places in `rivals`.
        leads: On each data set.
    """

    combination: int
    rivals: Sequence[int]
    lead: Lead
    leads: Sequence[Lead]

    def standing(self, lead: Lead) -> str:
        """Return "best", "tied" or "behind"."""
        place = self.rivals.index(self.combination)
        if place not in lead.tied:
            return "behind"
        return "best" if lead.is_alone else "tied"


def compounds(view: StudyView, score: str) -> list[Compound]:
    """Return the networks that have the same level number on all axes, but for the smallest.

    Args:
        view: The study.
        score: Name of the score: the metric, or "accuracy".
    """
    found = []
    columns = (view.training_data, view.training_block)
    for level in range(1, min(len(levels) for _, levels in view.axes)):
        (number,) = np.flatnonzero((view.levels == level).all(axis=1))
        rivals = np.flatnonzero(view.multiply_adds <= view.multiply_adds[number]).tolist()
        scores = view.matrix(score)[rivals]
        better = view.sign > 0 if score == view.metric else score == "loss"
        found.append(
            Compound(
                int(number),
                rivals,
                find_lead(scores, *columns, lower_is_better=better),
                find_leads(scores, *columns, lower_is_better=better),
            )
        )
    return found


def scaling_answer(view: StudyView, score: str) -> str:
    """Return whether growing all axes together is the best use of multiply-adds, in words.

    Args:
        view: The study.
        score: Name of the score: the metric, or "accuracy".
    """
    both = compounds(view, score)
    standings = {one.standing(one.lead) for one in both}
    lost = [
        data
        for number, data in enumerate(view.data_sets)
        if any(one.standing(one.leads[number]) == "behind" for one in both)
    ]
    if standings == {"best"}:
        head = "Compound scaling holds: what grows in all three is ahead of all that cost no more"
    elif "behind" in standings:
        head = "Compound scaling does not hold: what grows in all three is behind something cheaper"
    elif lost:
        head = (
            f"Compound scaling does not hold on {' and '.join(lost)}, where what grows in all three "
            "is behind something cheaper. Over all data sets together it shows no lead"
        )
    else:
        head = (
            "Compound scaling shows no lead: what grows in all three is tied with cheaper networks"
        )
    signs = []
    for axis in range(len(view.axes)):
        own = [growths(view, score, data)[axis] for data in range(len(view.data_sets))]
        if all(g.is_told_apart for g in own) and len({g.mean > 0 for g in own}) == 2:
            parts = " and ".join(
                f"{g.mean:+.2f} on {data}" for g, data in zip(own, view.data_sets, strict=True)
            )
            axis_name = own[0].axis
            signs.append(f"A doubling of multiply-adds by {axis_name} moves the {score} {parts}")
    return f"{head}.{''.join(f' {words}.' for words in signs)}"


def compound_answer(views: Mapping[str, StudyView]) -> str:
    """Return the answer of studies of the same grid at equal epochs, equal cost and so on.

    Args:
        views: Studies by what all their trainings have alike.
    """
    found: dict[str, list[str]] = {}
    for title, view in views.items():
        found[title] = [
            one.standing(one.lead)
            for score in dict.fromkeys((view.metric, "accuracy"))
            for one in compounds(view, score)
        ]
    every = [standing for standings in found.values() for standing in standings]
    counts = ". ".join(f"At {title} {_counted(standings)}" for title, standings in found.items())
    return (
        f"Compound scaling {_verdict(every)} on these data sets. A network grown in width, depth and "
        "resolution together was compared with all that need no more multiply-adds, over all data sets "
        f"together, at two sizes, by loss and by accuracy. {counts}."
    )


def _verdict(standings: Sequence[str]) -> str:
    if "behind" in standings:
        return "does not hold"
    return "holds" if set(standings) == {"best"} else "is not shown to hold"


def _counted(standings: Sequence[str]) -> str:
    best, behind = standings.count("best"), standings.count("behind")
    return (
        f"it is ahead of all others in {best} of {len(standings)} comparisons, behind one of them in "
        f"{behind}, and tied in {len(standings) - best - behind}"
    )


@dataclass(frozen=True)
class FreeVerdict:
    """A score without training over all data sets.

    Args:
        score: As it is called.
        correlation: Mean over data sets of Spearman's correlation with the trained result.
        low: Lower end of its 95 % interval, donors resampled.
        high: Upper end.
        regrets: By data set, what the donor that the score puts first is worse by than the best.
    """

    score: str
    correlation: float
    low: float
    high: float
    regrets: Sequence[float]


def free_verdicts(view: StudyView) -> list[FreeVerdict]:
    """Return how well each score without training orders the donors, over all data sets."""
    found = []
    for key, name in FREE_NAMES.items():
        tables = [free_pairs(view, key, data) for data in range(len(view.data_sets))]
        count = min(map(len, tables))
        draws = np.random.default_rng(0).integers(0, count, (_RESAMPLINGS, count))
        # The same donors of every data set: what one donor does on all of them hangs together.
        means = _mean_correlations([table[draws] for table in tables])
        means = means[np.isfinite(means)]
        low, high = np.percentile(means, (2.5, 97.5)) if means.size else (np.nan, np.nan)
        regrets = [float(t[:, 1].max() - t[t[:, 0].argmax(), 1]) for t in tables]
        found.append(
            FreeVerdict(name, float(_mean_correlations(tables)), float(low), float(high), regrets)
        )
    return found


def free_answer(view: StudyView) -> str:
    """Return whether ranking donors without training suffices, in words."""
    found = free_verdicts(view)
    sure = [one.score for one in found if one.low > 0]
    worst = max(max(one.regrets) for one in found)
    donors = len(free_pairs(view, next(iter(FREE_NAMES)), 0))
    if len(sure) == len(found):
        head = "Ranking without training suffices to order these donors better than chance"
    elif sure:
        head = f"Ranking without training suffices by {' and '.join(sure)} alone"
    else:
        head = f"Ranking {donors} donors without training is not told apart from chance"
    if len(view.lead.tied) == len(view.points):
        head += ". Their trainings do not tell these donors apart either"
    parts = ", ".join(
        f"{v.score} {v.correlation:+.2f} ({v.low:+.2f} to {v.high:+.2f})" for v in found
    )
    return (
        f"{head}. Mean rank correlations with the trained result, with 95 % intervals: {parts}. The "
        f"donor that a score puts first is at most {worst:.3f} worse in {view.metric} than the best."
    )


def _mean_correlations(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Return Spearman's correlation, the mean over tables (..., donor, 2); NaN for a constant."""
    found = []
    for table in tables:
        ranks = rankdata(table, axis=-2)
        one, other = np.moveaxis(ranks - ranks.mean(axis=-2, keepdims=True), -1, 0)
        length = np.sqrt((one * one).sum(axis=-1) * (other * other).sum(axis=-1))
        found.append(
            np.where(length, (one * other).sum(axis=-1) / np.where(length, length, 1), np.nan)
        )
    return np.asarray(np.mean(found, axis=0))
