"""The tables of the relatives' experiment, from its journal."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Further seeds of the fine-tuned endpoint, of experiments/relatives_endpoints.py.
MORE = Path(__file__).parent / "results" / "relatives_endpoints.jsonl"
MARK = "<!-- tables -->\n"
#: Pairs of a search and what it must beat.
AGAINST = ("best relative", "ancestor", "uniform soup")
NAMES = ("as judged", "fine-tuned")
#: Of a search: what it wrote, which is a donor where its verdict was for one; of all others the same weights.
WRITTEN = "fine-tuned, as written"


def summary(rows: Sequence[Mapping], page: Path, arms: Sequence[str]) -> None:
    """Write the tables under the mark of a page, and print them."""
    lines: list[str] = []
    for key in sorted({setting_of(row) for row in rows}):
        own = [row for row in rows if setting_of(row) == key]
        lines += _scores(key, own, [arm for arm in arms if any(r["arm"] == arm for r in own)])
    for labels in sorted({row["labels"] for row in rows}):
        lines += _differences([row for row in rows if row["labels"] == labels], arms, labels)
    lines += _by_target(rows, arms)
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    tables = "\n".join(lines)
    page.write_text(text.partition(MARK)[0] + MARK + tables + "\n", encoding="utf-8")
    print(tables)


def with_more_seeds(rows: Sequence[dict], more: Sequence[Mapping]) -> list[dict]:
    """Return rows whose fine-tuned endpoint has the seeds that were measured later, too."""
    added = {(*setting_of(row), row["seed"], row["arm"]): row["fine-tuned"] for row in more}
    found = []
    for row in rows:
        extra = added.get((*setting_of(row), row["seed"], row["arm"]), {"loss": [], "accuracy": []})
        longer = {key: values + extra[key] for key, values in row["fine-tuned"].items()}
        found.append({**row, "fine-tuned": longer})
    return found


def is_search(arm: str) -> bool:
    """Return whether an arm is a search, with a verdict and a control."""
    return "search" in arm or "CMA" in arm


def setting_of(row: Mapping) -> tuple[str, int, str]:
    """Return target, labels and kind of relatives of a row."""
    return row["target"], row["labels"], row["relatives"]


def _scores(key: tuple[str, int, str], rows: Sequence[Mapping], arms: Sequence[str]) -> list[str]:
    target, labels, relatives = key
    lines = [
        f"\n### {target}, {labels} labels, relatives: {relatives}\n",
        "| arm | seeds | epochs spent | evaluations per processor hour | as judged: accuracy, % | NLL "
        "| fine-tuned: accuracy, % | NLL |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm]
        cells = [
            f"{100 * _mean(own, name, 'accuracy'):.1f} | {_mean(own, name, 'loss'):.3f}"
            for name in NAMES
        ]
        spent = statistics.fmean(row["epochs"] for row in own)
        looks = [row["note"]["evaluations"] for row in own if "search" in arm]
        # The median: some runs shared the machine with other work.
        seconds = statistics.median(row["seconds"] for row in own)
        pace = f"{3600 * statistics.fmean(looks) / seconds:,.0f}" if looks else "–"
        lines.append(f"| {arm} | {len(own)} | {spent:.0f} | {pace} | {' | '.join(cells)} |")
    return lines


def _differences(rows: Sequence[Mapping], arms: Sequence[str], labels: int) -> list[str]:
    """Return paired differences of searches to what they must beat, over targets and seeds."""
    lines = [
        f"\n### Paired differences, over targets and seeds, {labels} labels\n",
        "Mean ± standard error; negative NLL means that the first is better.\n",
        "| first | minus | pairs | as judged: points | NLL | fine-tuned: points | NLL |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for arm in filter(is_search, arms):
        for other in (*AGAINST, *_controls(arm)):
            keys = sorted(_keys(rows, arm) & _keys(rows, other))
            if not keys:
                continue
            cells = []
            for name in NAMES:
                for metric, factor in (("accuracy", 100), ("loss", 1)):
                    found = [
                        factor * _difference(rows, arm, other, key, name, metric) for key in keys
                    ]
                    cells.append(_with_error(found, 1 if factor == 100 else 3))
            lines.append(f"| {arm} | {other} | {len(keys)} | {' | '.join(cells)} |")
    return lines


def _by_target(rows: Sequence[Mapping], arms: Sequence[str]) -> list[str]:
    """Return paired differences of losses, a column per target."""
    settings = sorted({setting_of(row) for row in rows})
    lines = []
    for name in (*NAMES, WRITTEN):
        heads = [f"{target}, {labels} labels" for target, labels, _ in settings]
        lines += [
            f"\n### Paired differences by target: NLL, {name}\n",
            "Mean ± standard error; in brackets how many of the seeds have a smaller loss.\n",
            f"| first | minus | {' | '.join(heads)} |",
            f"|---|---|{'---:|' * len(heads)}",
        ]
        for arm, other in _compared(arms):
            pairs = [_found(rows, arm, other, name, setting) for setting in settings]
            if any(pairs):
                cells = (
                    f"{_with_error(p, 3)} ({sum(v < 0 for v in p)} of {len(p)})" if p else "–"
                    for p in pairs
                )
                lines.append(f"| {arm} | {other} | {' | '.join(cells)} |")
    return lines


def _compared(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of arms whose difference is shown, target by target."""
    found = [("best relative", "ancestor"), ("uniform soup", "ancestor")]
    for arm in filter(is_search, arms):
        found += [(arm, other) for other in ("ancestor", "best relative", *_controls(arm))]
    return found


def _controls(arm: str) -> list[str]:
    """Return the random searches of the same encoding: as it is, and without a surrogate."""
    control = f"random search, {arm.split(', ')[1]}"
    found = [control, f"{control}, no surrogate"]
    return [] if arm == found[1] else [other for other in found if other != arm]


def _found(
    rows: Sequence[Mapping], arm: str, other: str, name: str, setting: tuple[str, int, str]
) -> list[float]:
    """Return the paired differences of one setting, a seed each."""
    keys = sorted(key for key in _keys(rows, arm) & _keys(rows, other) if key[:3] == setting)
    return [_difference(rows, arm, other, key, name, "loss") for key in keys]


def _with_error(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):+.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(values) / math.sqrt(len(values)):.{digits}f}"


def _mean(rows: Sequence[Mapping], name: str, metric: str) -> float:
    return statistics.fmean(statistics.fmean(row[name][metric]) for row in rows)


def _keys(rows: Sequence[Mapping], arm: str) -> set[tuple]:
    return {(*setting_of(r), r["seed"]) for r in rows if r["arm"] == arm}


def _difference(
    rows: Sequence[Mapping], arm: str, other: str, key: tuple, name: str, metric: str
) -> float:
    """Return the mean difference over the seeds of an endpoint that both arms have."""
    both = (_values(rows, one, key, name, metric) for one in (arm, other))
    return statistics.fmean(first - second for first, second in zip(*both, strict=False))


def _values(
    rows: Sequence[Mapping], arm: str, key: tuple, name: str, metric: str
) -> Sequence[float]:
    (row,) = [r for r in rows if r["arm"] == arm and (*setting_of(r), r["seed"]) == key]
    if name == WRITTEN:
        row, name = row.get("written", row), "fine-tuned"
    return row[name][metric]
