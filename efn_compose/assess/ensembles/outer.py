"""What ensembles are worth on folds that had no say in them, and which of two is written."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.assess.ensembles.methods import METHODS, Combination
from efn_compose.assess.ensembles.scoring import Comparison, Measure, Score, compare, score
from efn_compose.assess.prediction_store.rows import RowTable
from efn_compose.errors import ConfigError, DataError, describe_problems

#: The method that stands until another is proved better.
FALLBACK = "median"


@dataclass(frozen=True, eq=False)
class Judged:
    """One method on outer folds.

    Args:
        method: Its name.
        honest: Score of every row by a combination fitted without the row's fold.
        flattering: Score of the rows that the combination was fitted on.
        against_fallback: Honest score minus the fallback's.
        probability: (row, class) the honest answers.
        combination: Fitted on all rows, for new ones.
    """

    method: str
    honest: Score
    flattering: Score
    against_fallback: Comparison
    probability: np.ndarray
    combination: Combination


@dataclass(frozen=True)
class Verdict:
    """Which ensemble is written first, and why.

    Args:
        winner: Name of the method.
        challenger: Name of the method that wanted to be.
        comparison: Challenger minus fallback.
        reasons: Sentences.
    """

    winner: str
    challenger: str
    comparison: Comparison
    reasons: tuple[str, ...]


def judge_methods(
    probability: np.ndarray,
    rows: RowTable,
    measure: Measure,
    methods: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Judged]:
    """Judge ways to combine models by outer folds: all that is fitted, is fitted without the fold.

    Args:
        probability: (model, row, class), out of fold.
        rows: Labels, folds and patients; rows of one patient count as one.
        measure: What counts.
        methods: Names; None: all that the measure suits. The fallback is judged in any case.
        seed: Of bags.

    Returns:
        By name, the fallback first.

    Raises:
        ConfigError: An unknown method, or one that the measure does not suit.
        DataError: The folds compare nothing, or predictions are not finite.
    """
    if methods is None:
        methods = [name for name in METHODS if name != "rank_mean" or measure == "auc"]
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise ConfigError(
            f"ensemble methods: allowed {', '.join(METHODS)}. Received: {', '.join(unknown)}."
        )
    if "rank_mean" in methods and measure != "auc":
        raise ConfigError(
            f"rank_mean gives ranks, which order rows and are no probabilities: it has no {measure}. "
            "Compare by auc, or leave it out."
        )
    problems = rows.problems()
    if not np.isfinite(probability).all():
        problems.append("- some predictions are not finite")
    if problems:
        raise DataError(describe_problems("These predictions cannot be judged.", problems))
    found: dict[str, Judged] = {}
    for name in dict.fromkeys((FALLBACK, *methods)):
        fit, honest = METHODS[name], np.zeros(probability.shape[1:])
        for fold in np.unique(rows.fold):
            inside, outside = rows.fold != fold, rows.fold == fold
            fitted = fit(probability[:, inside], rows.label[inside], measure, seed)
            honest[outside] = fitted.combine(probability[:, outside])
        combination = fit(probability, rows.label, measure, seed)
        flattering = score(measure, rows.label, combination.combine(probability))
        value = score(measure, rows.label, honest)
        fallback = found[FALLBACK].honest if found else value
        against = compare(value, fallback, rows.clusters)
        found[name] = Judged(name, value, flattering, against, honest, combination)
    return found


def give_verdict(
    judged: Mapping[str, Judged], challenger: str, doubts: Sequence[str] = ()
) -> Verdict:
    """Choose between a challenger and the fallback: nothing wins by luck, nor by leaks.

    Args:
        judged: Of `judge_methods`.
        challenger: Name of a method in it.
        doubts: Why out-of-fold predictions cannot be trusted, such as suspected columns.
    """
    comparison = judged[challenger].against_fallback
    words = (
        f"{challenger} minus {FALLBACK} on outer folds: {comparison.difference:+.4f} ± "
        f"{comparison.standard_error:.4f} standard error"
    )
    if challenger == FALLBACK:
        return Verdict(FALLBACK, challenger, comparison, (f"{FALLBACK} was asked for.", *doubts))
    if doubts:
        why = f"The {FALLBACK} is written, since out-of-fold scores cannot be trusted here."
        return Verdict(FALLBACK, challenger, comparison, (why, *doubts, f"{words}."))
    if comparison.is_ahead:
        return Verdict(challenger, challenger, comparison, (f"{words}: ahead by more than one.",))
    return Verdict(
        FALLBACK,
        challenger,
        comparison,
        (f"{words}: not ahead by more than one, so the {FALLBACK} stands.",),
    )


def raise_level(
    verdict: Verdict, stack: Judged, standing: Judged, rows: RowTable, doubts: Sequence[str] = ()
) -> Verdict:
    """Choose between what stands and a second level, which must be ahead of it by more than an error.

    Args:
        verdict: On the first level.
        stack: The second level's answer.
        standing: The verdict's winner.
        rows: The rows of both.
        doubts: Why out-of-fold predictions cannot be trusted.
    """
    comparison = compare(stack.honest, standing.honest, rows.clusters)
    words = (
        f"{stack.method} minus {standing.method} on outer folds: {comparison.difference:+.4f} ± "
        f"{comparison.standard_error:.4f} standard error"
    )
    if doubts or not comparison.is_ahead:
        why = "not trusted" if doubts else "not ahead by more than one, so it is not written"
        return dataclasses.replace(verdict, reasons=(*verdict.reasons, f"{words}: {why}."))
    reasons = (*verdict.reasons, f"{words}: ahead by more than one.")
    return Verdict(stack.method, stack.method, comparison, reasons)
