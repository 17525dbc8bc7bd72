"""What outer folds say of stacks of one level and of two, beside new rows.

Purpose: a second level above models that are out of fold could know labels of the fold that judges it. Labels
         at random show whether it does: all that is above an AUC of 0.5 on outer folds is a leak.
Command: python experiments/stack_levels.py
Time:    ten processor minutes.
Result:  docs/measurements.md, "Ensembles"
"""

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from efn_compose.assess.ensembles import compare, give_verdict, judge_methods, score
from efn_compose.assess.prediction_store.rows import RowTable
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.jobs.ensembles.stacking.inputs import StackData
from efn_compose.jobs.ensembles.stacking.portfolio import StackModel, load_portfolio
from efn_compose.jobs.ensembles.stacking.run import fit_portfolio
from efn_compose.store import Journal

ROWS, NEW_ROWS, COLUMNS, FOLDS, SETS = 300, 4000, 12, 5, 16
#: Distance of the classes' means in what a column says, in its own noise.
SIGNALS = {"at random": 0.0, "real": 0.3}
FIRST = """
[[model]]
kind = "logistic"
strength = [0.01, 0.1, 1.0]
columns = 0.5
seed = [1, 2]
[[model]]
kind = "ridge"
inputs = "ranks"
strength = [10.0, 100.0]
[[model]]
kind = "neighbours"
count = [15, 50]
"""
SECOND = """
[[model]]
kind = "logistic"
level = 2
restack = {restack}
[[model]]
kind = "ridge"
level = 2
restack = {restack}
"""
PORTFOLIOS = {
    "one level": FIRST,
    "two levels": FIRST + SECOND.format(restack="false"),
    "two levels, restacking": FIRST + SECOND.format(restack="true"),
}


def columns(rng: np.random.Generator, label: np.ndarray, signal: float) -> np.ndarray:
    """Return what made-up networks say, (column, row, class): they share half of their noise."""
    shared = 0.5 * rng.normal(size=len(label))
    logits = signal * (2 * label - 1) + shared + rng.normal(size=(COLUMNS, len(label)))
    one = 1 / (1 + np.exp(-logits))
    return np.stack([1 - one, one], axis=-1)


def run(seed: int, models: Sequence[StackModel], signal: float) -> tuple[float, ...]:
    """Return AUC of stack and median on outer folds and on new rows, and whether the stack is written."""
    rng = np.random.default_rng([seed, 21])
    label, new = rng.permutation(np.arange(ROWS) % 2), np.arange(NEW_ROWS) % 2
    fold = np.empty(ROWS, int)
    for one in (0, 1):
        fold[label == one] = np.arange((label == one).sum()) % FOLDS
    stated, asked = columns(rng, label, signal), columns(rng, new, signal)
    rows = RowTable(tuple(map(str, range(ROWS))), ("",) * ROWS, label, fold, ("a", "b"))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with closing(Journal(folder / "journal.jsonl")) as journal:
            data = StackData.of(stated, asked, label, fold)
            stack = fit_portfolio(models, data, folder, journal, ExecutorOptions(kind="serial"))
    plain = judge_methods(stated, rows, "auc", ["bagged_climb"])
    judged = judge_methods(stack.probability, rows, "auc", ["bagged_climb"])["bagged_climb"]
    fallback = plain[give_verdict(plain, "bagged_climb").winner]
    median = plain["median"]
    return (
        judged.honest.value,
        score("auc", new, judged.combination.combine(stack.test)).value,
        median.honest.value,
        score("auc", new, median.combination.combine(asked)).value,
        float(compare(judged.honest, fallback.honest, rows.clusters).is_ahead),
    )


def main() -> None:
    """Print the table."""
    print(
        "| labels | stack | stack: outer folds | new rows | median: outer folds | new rows | written |"
    )
    print("|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        for labels, signal in SIGNALS.items():
            for name, text in PORTFOLIOS.items():
                path = Path(place) / "portfolio.toml"
                path.write_text(text)
                models, _ = load_portfolio(str(path))
                found = np.array([run(seed, models, signal) for seed in range(SETS)])
                cells = []
                for values in found[:, :4].T.tolist():
                    error = statistics.stdev(values) / len(values) ** 0.5
                    cells.append(f"{statistics.fmean(values):.3f} ± {error:.3f}")
                written = f"{int(found[:, 4].sum())} of {SETS}"
                print(f"| {labels} | {name} | {' | '.join(cells)} | {written} |", flush=True)


if __name__ == "__main__":
    main()
