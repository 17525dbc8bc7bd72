"""The page of experiments/instrument.py: noise, signal and cost of every way to evaluate."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "results" / "instrument.md"
#: What people write stands above, what the journal says below.
MARK = "<!-- Below this line: python experiments/instrument.py --report -->\n"
TRUTH = "full"
#: Images that a loss is taken on.
PARTS = {"400": {"validation": 400}, "1,400": {"validation": 400, "test": 1000}}

#: By way and candidate, the paired differences to the donor, one per data set and repetition.
Differences = dict[str, dict[str, dict[tuple[str, int], float]]]


def differences(rows: Sequence[Mapping[str, Any]], parts: Mapping[str, int]) -> Differences:
    """Return losses minus the donor's, of the same data set and repetition."""

    def loss(row: Mapping[str, Any]) -> float:
        return sum(n * row[part]["loss"] for part, n in parts.items()) / sum(parts.values())

    known = {(r["way"], r["candidate"], r["data"], r["repetition"]): loss(r) for r in rows}
    found: Differences = {}
    for (way, candidate, data, repetition), value in known.items():
        donor = known.get((way, "donor", data, repetition))
        if candidate != "donor" and donor is not None:
            pairs = found.setdefault(way, {}).setdefault(candidate, {})
            pairs[data, repetition] = value - donor
    return found


def noise(pairs: Mapping[str, Mapping[tuple[str, int], float]]) -> float | None:
    """Return the pooled standard deviation of a difference over repetitions."""
    squares, freedom = 0.0, 0
    for by_key in pairs.values():
        for data in {data for data, _ in by_key}:
            values = [v for (name, _), v in by_key.items() if name == data]
            if len(values) > 1:
                squares += statistics.variance(values) * (len(values) - 1)
                freedom += len(values) - 1
    return math.sqrt(squares / freedom) if freedom else None


def means(pairs: Mapping[str, Mapping[tuple[str, int], float]]) -> dict[tuple[str, str], float]:
    """Return mean differences by candidate and data set."""
    found: dict[tuple[str, str], list[float]] = {}
    for candidate, by_key in pairs.items():
        for (data, _), value in by_key.items():
            found.setdefault((candidate, data), []).append(value)
    return {key: statistics.fmean(values) for key, values in found.items()}


def agreement(one: Mapping[Any, float], other: Mapping[Any, float]) -> float | None:
    """Return Spearman's rank correlation over what both have; None for fewer than 4."""
    from scipy.stats import spearmanr

    keys = sorted(set(one) & set(other))
    if len(keys) < 4:
        return None
    return float(spearmanr([one[k] for k in keys], [other[k] for k in keys]).statistic)


def seconds_to_see(
    pairs: Mapping[str, Mapping[tuple[str, int], float]], candidate: str, seconds: float
) -> float | None:
    """Return processor seconds until a candidate's mean difference is two standard errors.

    Every data set alone; their median is told.
    """
    by_key, found = pairs.get(candidate, {}), []
    for data in {data for data, _ in by_key}:
        values = [v for (name, _), v in by_key.items() if name == data]
        if len(values) > 1 and (mean := statistics.fmean(values)):
            found.append(2 * seconds * max(1.0, 4 * statistics.variance(values) / mean**2))
    return statistics.median(found) if found else None


def table(rows: Sequence[Mapping[str, Any]], parts: Mapping[str, int]) -> list[str]:
    """Return a line per way."""
    found = differences(rows, parts)
    truth = means(found.get(TRUTH, {}))
    candidates = sorted({c for pairs in found.values() for c in pairs})
    lines = [
        f"| way | processor s | noise | {' | '.join(candidates)} | s to see 20 % | s to see 10 % "
        "| ranks as a fine-tuning | pairs |",
        f"|---|---|---|{'---|' * len(candidates)}---|---|---|---|",
    ]
    for way, pairs in found.items():
        own = [row for row in rows if row["way"] == way]
        images = sum(parts.values())
        seconds = statistics.fmean(r["seconds"] + images * r.get("score_seconds", 0.0) for r in own)
        cells = [way, f"{seconds:.2f}", shown(noise(pairs))]
        for candidate in candidates:
            values = list(pairs.get(candidate, {}).values())
            cells.append(f"{statistics.fmean(values):+.3f}" if values else "")
        cells += [
            shown(seconds_to_see(pairs, name, seconds), 0) for name in ("silent20", "silent10")
        ]
        cells.append("" if way == TRUTH else shown(agreement(means(pairs), truth), 2))
        cells.append(str(sum(map(len, pairs.values()))))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def shown(value: float | None, digits: int = 3) -> str:
    """Return a number, or nothing where there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def write_page(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the tables below what people wrote."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"# The instrument\n\n{MARK}"
    repetitions = len({row["repetition"] for row in rows})
    lines = [f"State: {len(rows)} evaluations; repetitions: {repetitions}.", ""]
    for images, parts in PARTS.items():
        lines += [f"## Scored on {images} images", "", *table(rows, parts), ""]
    above = text.split(MARK)[0]
    PAGE.write_text(above + MARK + "\n" + "\n".join(lines), encoding="utf-8")
