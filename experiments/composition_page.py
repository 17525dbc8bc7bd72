"""The page of experiments/composition.py: paired differences to the best plain training."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "results" / "composition.md"
#: What people write stands above, what the journal says below.
MARK = "<!-- Below this line: python experiments/composition.py --report -->\n"
#: What arms are held against has a name that begins so.
PLAIN = "plain"
#: What other branches are held against, too: a halving search as it is by default.
DEFAULT = "branches, fresh"
#: Pairs from which on an arm stands in the tables.
FEWEST = 4

Rows = Sequence[Mapping[str, Any]]
Values = dict[str, dict[tuple[str, int], Mapping[str, float]]]


def best_rates(rows: Rows) -> dict[str, float]:
    """Return the rate of each arm whose weights validate best as they are, over the screening."""
    losses: dict[tuple[str, float], dict[Any, float]] = {}
    for row in rows:
        if row["phase"] == "screening":
            pairs = losses.setdefault((row["arm"], row["rate"]), {})
            pairs[row["data"], row["seed"]] = row["as_is_validation"]["loss"]
    found = {}
    for arm in {arm for arm, _ in losses}:
        own = {rate: pairs for (name, rate), pairs in losses.items() if name == arm}
        common = set.intersection(*(set(pairs) for pairs in own.values()))
        if common:
            found[arm] = min(own, key=lambda rate: sum(own[rate][pair] for pair in common))
    return found


def scored(rows: Rows, phase: str, rates: Mapping[str, float]) -> Values:
    """Return the scores of every arm at its rate, by pair."""
    found: Values = {}
    for row in rows:
        if row["phase"] != phase or row["rate"] != rates.get(row["arm"]):
            continue
        found.setdefault(row["arm"], {})[row["data"], row["seed"]] = {
            "as is": row["as_is"]["loss"],
            "as is, points": 100 * row["as_is"]["accuracy"],
            "one epoch": row["test"][0]["loss"],
            "fine-tuned": row["test"][-1]["loss"],
            "fine-tuned, points": 100 * row["test"][-1]["accuracy"],
            "validation": row["as_is_validation"]["loss"],
            "seconds": row["seconds"],
            "sequential": row["sequential"],
        }
    return found


def table(values: Values, control: str) -> list[str]:
    """Return a line per arm: its paired differences to the control."""
    from scipy import stats

    scores = ("as is", "one epoch", "fine-tuned", "as is, points", "fine-tuned, points")
    lines = [
        f"| arm minus {control} | {' | '.join(scores)} | epochs in a row | processor s | pairs |",
        f"|---|{'---|' * len(scores)}---|---|---|",
    ]
    for arm, pairs in values.items():
        both = sorted(set(pairs) & set(values[control]))
        if arm == control or len(both) < 2:
            continue
        cells = [arm]
        for score in scores:
            apart = [pairs[pair][score] - values[control][pair][score] for pair in both]
            half = stats.t.ppf(0.975, len(apart) - 1) * statistics.stdev(apart) / len(apart) ** 0.5
            digits = 1 if "points" in score else 3
            cells.append(f"{statistics.fmean(apart):+.{digits}f} ± {half:.{digits}f}")
        cells.append(f"{statistics.fmean(pairs[pair]['sequential'] for pair in both):g}")
        cells.append(f"{statistics.median(pairs[pair]['seconds'] for pair in both):.0f}")
        lines.append(f"| {' | '.join([*cells, str(len(both))])} |")
    return lines


def best_control(values: Values) -> str:
    """Return the plain training that validates best, over the pairs that all of them have."""
    plain = {arm: pairs for arm, pairs in values.items() if arm.startswith(PLAIN)}
    common = set.intersection(*(set(pairs) for pairs in plain.values()))
    return min(
        plain, key=lambda arm: sum(plain[arm][pair]["validation"] for pair in sorted(common))
    )


def going_on(rows: Rows, trial: Sequence[int]) -> set[str]:
    """Return the arms that are measured beyond the trial: the control, and all that may be ahead of it.

    An arm stops where it is behind on average over the pairs of the trial, as it is and fine-tuned.

    Args:
        rows: The journal.
        trial: Seeds of the trial.
    """
    rates = best_rates(rows)
    values = scored([row for row in rows if row["seed"] in trial], "screening", rates)
    control = best_control(values)
    found = {control}
    for arm, pairs in values.items():
        both = set(pairs) & set(values[control])
        for score in ("as is", "fine-tuned"):
            if sum(pairs[pair][score] - values[control][pair][score] for pair in both) < 0:
                found.add(arm)
    return found


def times(rows: Rows) -> list[str]:
    """Return the table of wall times, against one worker that trains one line."""
    one = next((r for r in rows if (r["workers"], r["branches"]) == (1, 1)), None)
    lines = [
        "| branches | workers | optimizer | seconds for 32 epochs | against one line |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{one['wall'] / row['wall']:.2f} times as fast" if one else ""
        cells = (
            row["branches"],
            row["workers"],
            row.get("optimizer", "fresh"),
            f"{row['wall']:.1f}",
            ratio,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    cores = ", ".join(sorted({str(row["cores"]) for row in rows}))
    words = f"`python experiments/branch_time.py`; cores of the machine: {cores}."
    return ["## Wall time", "", words, "", *lines, ""]


def write_page(rows: Rows, timed: Rows = ()) -> None:
    """Write the tables below what people wrote."""
    rates = best_rates(rows)
    lines = [f"State: {len(rows)} trainings of arms.", ""]
    for phase in ("screening", "confirmation"):
        measured = scored(rows, phase, rates)
        values = {arm: pairs for arm, pairs in measured.items() if len(pairs) >= FEWEST}
        if not any(arm.startswith(PLAIN) for arm in values):
            continue
        lines += [f"## {phase.capitalize()}", ""]
        # The one that validates best may have few pairs yet, and the plain one has all.
        for control in dict.fromkeys([best_control(values), PLAIN]):
            lines += [*table(values, control), ""] if control in values else []
        branches = {arm: pairs for arm, pairs in values.items() if arm.startswith("branches")}
        if len(branches) > 1 and DEFAULT in branches:
            lines += [*table(branches, DEFAULT), ""]
        for rate in sorted({rates[arm] for arm in values}):
            lines.append(f"- Rate {rate:g}: {'; '.join(a for a in values if rates[a] == rate)}.")
        lines.append("")
    lines += times(timed) if timed else []
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"# Composition\n\n{MARK}"
    PAGE.write_text(text.split(MARK)[0] + MARK + "\n" + "\n".join(lines), encoding="utf-8")
