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
    """

    variant: str
    trainings: int
    failed: int
    means: Mapping[str, float]
    errors: Mapping[str, float | None]
    over: str


def rank_networks(records: Iterable[Mapping[str, Any]], metric: str) -> list[Standing]:
    """Rank networks by a metric's mean over their trainings, the best first.

    Seeds of a fold share its images, so they are averaged first, and the standard error is
    over folds; with a single fold it is over seeds. Folds share training images, so it is a
    guide and no unbiased estimate (Bengio and Grandvalet 2004).

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
    standings = [_standing(variant, rows) for variant, rows in by_variant.items()]
    sign = -1 if metric in _RISING else 1
    scored = [row for row in standings if row.means]
    scored.sort(key=lambda row: sign * row.means[metric])
    return scored + [row for row in standings if not row.means]


def _standing(variant: str, rows: Sequence[Mapping[str, Any]]) -> Standing:
    scored = [row for row in rows if row["error"] is None]
    folds: dict[int, list[Mapping[str, float]]] = {}
    for row in scored:
        folds.setdefault(row["fold"], []).append(row["scores"])
    means, errors = {}, {}
    over = "folds" if len(folds) > 1 else "seeds"
    for metric in scored[0]["scores"] if scored else ():
        values = [statistics.fmean(score[metric] for score in scores) for scores in folds.values()]
        if over == "seeds":
            values = [row["scores"][metric] for row in scored]
        means[metric] = statistics.fmean(values)
        errors[metric] = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return Standing(variant, len(scored), len(rows) - len(scored), means, errors, over)


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
    note = f"mean ± standard error over {' or '.join(sorted(overs))}" if overs else ""
    return "\n".join([*table, *([note] if note else [])])


def _mean_and_error(row: Standing, metric: str) -> str:
    if metric not in row.means:
        return "-"
    error = row.errors[metric]
    return f"{row.means[metric]:.4f}" + ("" if error is None else f" ± {error:.4f}")


def leaderboard_json(standings: Sequence[Standing]) -> list[dict[str, Any]]:
    """Return the leaderboard as JSON values."""
    return [asdict(row) for row in standings]
