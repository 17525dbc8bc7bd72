"""Summary of out-of-fold predictions: over all images, fold by fold, and as an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.assess.evaluation import Assessment, assess
from efn_compose.assess.out_of_fold.check import check_out_of_fold
from efn_compose.assess.out_of_fold.predictions import Predictions


@dataclass(frozen=True)
class VariantSummary:
    """One variant over its folds and seeds.

    Args:
        variant: The network.
        folds: Number of folds.
        seeds: Number of seeds.
        by_fold: Metric to the (seed, fold) values; AUC only where every fold has all classes.
        pooled: Assessment of each seed's predictions on all images.
        ensemble: Assessment of the mean of the seeds' probabilities; None with one seed.
    """

    variant: str
    folds: int
    seeds: int
    by_fold: dict[str, np.ndarray]
    pooled: tuple[Assessment, ...]
    ensemble: Assessment | None

    def mean_and_error(self, metric: str) -> tuple[float, float]:
        """Return a metric's mean over folds and seeds, and its standard error over folds.

        The trainings share images, so the error is a guide and no unbiased estimate (Bengio and
        Grandvalet 2004).
        """
        per_fold = self.by_fold[metric].mean(axis=0)
        return float(per_fold.mean()), float(per_fold.std(ddof=1) / np.sqrt(len(per_fold)))


@dataclass(frozen=True)
class OutOfFoldSummary:
    """All variants, in order of appearance."""

    variants: tuple[VariantSummary, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "variants": [
                {
                    "variant": row.variant,
                    "folds": row.folds,
                    "seeds": row.seeds,
                    "by_fold": {name: values.tolist() for name, values in row.by_fold.items()},
                    "pooled": [one.to_json() for one in row.pooled],
                    "ensemble": None if row.ensemble is None else row.ensemble.to_json(),
                }
                for row in self.variants
            ]
        }

    def __str__(self) -> str:
        """Return the summary as lines for people."""
        lines = []
        for row in self.variants:
            means = ", ".join(
                "{} {:.4f} ± {:.4f}".format(name, *row.mean_and_error(name)) for name in row.by_fold
            )
            lines.append(
                f"{row.variant or 'training'}: {row.folds} folds, {row.seeds} "
                f"{'seed' if row.seeds == 1 else 'seeds'}; by fold "
                f"(mean ± SE over folds): {means}"
            )
            shown = row.ensemble or row.pooled[0]
            what = f"mean of {row.seeds} seeds" if row.ensemble else "out of fold"
            lines += [f"  {what}: {line}" if not n else f"  {line}" for n, line in
                      enumerate(str(shown).splitlines())]  # fmt: skip
        return "\n".join(lines)


def summarise(predictions: Predictions, images: int | None = None) -> OutOfFoldSummary:
    """Check out-of-fold predictions and summarise them.

    Args:
        predictions: Rows of one or more variants, seeds and folds.
        images: Images of the table, see `check_out_of_fold`.

    Raises:
        DataError: They are no out-of-fold predictions.

    Example:
        >>> from efn_compose.data import load_table
        >>> from efn_compose.assess.out_of_fold import join_predictions
        >>> table = load_table("digits")
        >>> guess = np.full((1797, 10), 0.1)
        >>> parts = [np.arange(fold, 1797, 3) for fold in range(3)]
        >>> rows = [Predictions.of_fold(table, n, guess[n], fold=f, seed=1)
        ...         for f, n in enumerate(parts)]
        >>> round(summarise(join_predictions(rows)).variants[0].pooled[0].auc, 2)
        0.5
    """
    check_out_of_fold(predictions, images)
    names = dict.fromkeys(predictions.variant)
    return OutOfFoldSummary(tuple(_of_variant(predictions, name) for name in names))


def assess_mean(trainings: Sequence[Predictions]) -> Assessment:
    """Assess the mean of the probabilities that several trainings give to the same images.

    Args:
        trainings: Of each training its rows, the same images in any order.

    Example:
        >>> from efn_compose.data import load_table
        >>> table, guess = load_table("digits"), np.full((2, 10), 0.1)
        >>> rows = [Predictions.of_fold(table, np.array([4, 2]), guess, fold=0, seed=seed)
        ...         for seed in (1, 2)]
        >>> round(assess_mean(rows).loss, 4)
        2.3026
    """
    ordered = [rows.rows(np.argsort(rows.number, kind="stable")) for rows in trainings]
    mean = np.mean([rows.probability.astype(np.float64) for rows in ordered], axis=0)
    return assess(ordered[0].label, mean, ordered[0].class_names)


def _of_variant(predictions: Predictions, variant: str) -> VariantSummary:
    seeds = [seed for name, seed in predictions.trainings() if name == variant]
    trainings = [predictions.of_training(variant, seed) for seed in seeds]
    folds = np.unique(trainings[0].fold)
    by_seed = [
        [_assess(rows.rows(rows.fold == fold)) for fold in np.unique(rows.fold)]
        for rows in trainings
    ]
    metrics = {"accuracy": lambda one: one.accuracy.value, "loss": lambda one: one.loss}
    if all(one.auc is not None for row in by_seed for one in row):
        metrics["auc"] = lambda one: one.auc
    by_fold = {
        name: np.array([[read(one) for one in row] for row in by_seed])
        for name, read in metrics.items()
    }
    ensemble = assess_mean(trainings) if len(trainings) > 1 else None
    return VariantSummary(
        variant, len(folds), len(seeds), by_fold, tuple(map(_assess, trainings)), ensemble
    )


def _assess(rows: Predictions) -> Assessment:
    return assess(rows.label, rows.probability, rows.class_names)
