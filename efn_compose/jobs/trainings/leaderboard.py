"""Networks ranked by what their trainings scored."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: Metrics of which more is better.
_RISING = ("accuracy", "auc", "iou", "dice")


@dataclass(frozen=True)
class Standing:
    """One network's line.

    Args:
        variant: The network.
        trainings: How many were scored.
        failed: How many were not.
        means: By metric.
        errors: Standard error by metric, None where one value has none.
        over: The error is over "folds" or "seeds".
        missing: Folds of the run on which none of its trainings was scored.
    """

    variant: str
    trainings: int
    failed: int
    means: Mapping[str, float]
    errors: Mapping[str, float | None]
    over: str
    missing: tuple[int, ...] = ()


def rank_networks(records: Iterable[Mapping[str, Any]], metric: str) -> list[Standing]:
    """Rank networks by a metric's mean over their trainings, the best first.

    Seeds of a fold share its images, so they are averaged first, and the standard error is
    over folds; with a single fold it is over seeds. Folds share training images, so it is a
    guide and no unbiased estimate (Bengio and Grandvalet 2004).

    Folds differ by how hard they are, so networks with a score on every fold come first. Those that
    miss as many folds as each other are ordered by how much they are better than the mean of all
    networks on the same folds.

    Args:
        records: Journal records; of a training that was made twice, the last counts.
        metric: One of the scores, such as "loss", "accuracy" or "iou".

    Example:
        >>> record = {"training": "a", "variant": "b0", "fold": 0, "seed": 1, "error": None}
        >>> rank_networks([record | {"scores": {"loss": 0.5}}], "loss")[0].means
        {'loss': 0.5}
    """
    latest = {record["training"]: record for record in records}
    by_variant: dict[str, list[Mapping[str, Any]]] = {}
    for record in latest.values():
        by_variant.setdefault(record["variant"], []).append(record)
    every = sorted({record["fold"] for record in latest.values()})
    standings = [_standing(variant, rows, every) for variant, rows in by_variant.items()]
    sign = -1 if metric in _RISING else 1
    on_folds = {
        variant: {
            fold: statistics.fmean(score[metric] for score in scores)
            for fold, scores in _by_fold(rows).items()
        }
        for variant, rows in by_variant.items()
    }
    usual = {
        fold: statistics.fmean(own[fold] for own in on_folds.values() if fold in own)
        for fold in set().union(*on_folds.values())
    }

    def place(row: Standing) -> tuple[int, float]:
        own = on_folds[row.variant]
        if not row.missing:  # as it stands in the table, to the last bit
            return 0, sign * row.means[metric]
        return len(row.missing), sign * statistics.fmean(own[f] - usual[f] for f in own)

    scored = sorted((row for row in standings if row.means), key=place)
    return scored + [row for row in standings if not row.means]


def _by_fold(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, float]]]:
    """Return the scores of the trainings that ended well."""
    folds: dict[int, list[Mapping[str, float]]] = {}
    for row in rows:
        if row["error"] is None:
            folds.setdefault(row["fold"], []).append(row["scores"])
    return folds


def _standing(variant: str, rows: Sequence[Mapping[str, Any]], every: Sequence[int]) -> Standing:
    scored = [row for row in rows if row["error"] is None]
    folds = _by_fold(rows)
    means, errors = {}, {}
    over = "folds" if len(folds) > 1 else "seeds"
    for metric in scored[0]["scores"] if scored else ():
        values = [statistics.fmean(score[metric] for score in scores) for scores in folds.values()]
        if over == "seeds":
            values = [row["scores"][metric] for row in scored]
        means[metric] = statistics.fmean(values)
        errors[metric] = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    failed = len(rows) - len(scored)
    missing = tuple(fold for fold in every if fold not in folds)
    return Standing(variant, len(scored), failed, means, errors, over, missing)


def leaderboard_text(standings: Sequence[Standing]) -> str:
    """Return the leaderboard as a Markdown table, which people read as it is."""
    metrics = list(dict.fromkeys(metric for row in standings for metric in row.means))
    header = ["network", "trainings", *metrics]
    rows = [
        [
            row.variant,
            f"{row.trainings}" + (f" ({row.failed} failed)" if row.failed else ""),
            *(_mean_and_error(row, metric) for metric in metrics),
        ]
        for row in standings
    ]
    widths = [max(len(line[n]) for line in [header, *rows]) for n in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    table = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    overs = {row.over for row in standings if any(row.errors.values())}
    notes = [f"mean ± standard error over {' or '.join(sorted(overs))}"] if overs else []
    notes += [
        f"{row.variant}: no score on {folds_text(row.missing)}, so it stands behind networks with more folds"
        for row in standings
        if row.missing and row.means
    ]
    return "\n".join([*table, *notes])


def folds_text(folds: Sequence[int]) -> str:
    """Return folds as people write them.

    Example:
        >>> folds_text([1]), folds_text([0, 2])
        ('fold 1', 'folds 0, 2')
    """
    return f"fold{'' if len(folds) == 1 else 's'} {', '.join(map(str, folds))}"


def _mean_and_error(row: Standing, metric: str) -> str:
    if metric not in row.means:
        return "-"
    error = row.errors[metric]
    return f"{row.means[metric]:.4f}" + ("" if error is None else f" ± {error:.4f}")


def leaderboard_json(standings: Sequence[Standing]) -> list[dict[str, Any]]:
    """Return the leaderboard as JSON values."""
    return [asdict(row) for row in standings]
