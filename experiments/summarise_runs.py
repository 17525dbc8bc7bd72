"""Print finished runs as one Markdown table: the written weights, and by how much they won.

python experiments/summarise_runs.py runs/quickstart* -o experiments/results/quickstart.md
"""

import argparse
import json
import statistics
import tomllib
from pathlib import Path

from efn_compose.evolve.verdict.verdict import paired_difference
from efn_compose.store import write_text


def main() -> None:
    """Read the run folders named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    text = summary(options.runs)
    if options.output:
        write_text(options.output, text)
    else:
        print(text)


def summary(runs: list[Path]) -> str:
    """Return the page."""
    lines = ["# Finished runs", ""]
    lines += [f"Made by `python experiments/summarise_runs.py {' '.join(map(str, runs))}`.", ""]
    lines += [
        "Losses are cross-entropies on the test split, which no choice was made on; ± is the "
        "standard error over the run's final seeds. Negative differences favour the composition.",
        "",
        "| run | seed | written | composed: test loss | accuracy | best donor | its test loss "
        "| accuracy | composed - best donor | composed - uniform average | evaluations | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(run) for run in runs]
    for run in runs:
        lines += ["", f"**{run.name}.** {_result(run)['verdict']}", ""]
        lines += ["| contestant | test loss | test accuracy |", "|---|---|---|"]
        lines += [
            f"| {name} | {' | '.join(_scores(arm))} |"
            for name, arm in _result(run)["arms"].items()
            if arm["test_loss"]
        ]
    return "\n".join(lines) + "\n"


def _result(run: Path) -> dict:
    return json.loads((run / "result.json").read_text(encoding="utf-8"))


def _row(run: Path) -> str:
    result, config = _result(run), tomllib.loads((run / "config.toml").read_text("utf-8"))
    arms, best = result["arms"], result["best_donor"]
    composed = arms.get("composed")
    cells = [run.name, config["run"]["seed"], result["winner"]]
    cells += [*_scores(composed), best, *_scores(arms[best])]
    cells += [_difference(composed, arms[best]), _difference(composed, arms.get("uniform_average"))]
    cells += [result["evaluations"], f"{sum(result['seconds'].values()) / 60:.1f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def _scores(arm: dict | None) -> list[str]:
    if arm is None:
        return ["failed", "failed"]
    return [_mean(arm["test_loss"]), _mean([100 * a for a in arm["test_accuracy"]], 1) + " %"]


def _mean(values: list[float], digits: int = 3) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.{digits}f} ± {error:.{digits}f}"


def _difference(first: dict | None, second: dict | None) -> str:
    if first is None or second is None:
        return "-"
    found = paired_difference(first["test_loss"], second["test_loss"])
    return f"{found.mean:+.3f} ± {found.standard_error:.3f}"


if __name__ == "__main__":
    main()
