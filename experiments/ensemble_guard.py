"""How often the guard of an ensemble decides rightly: leaking columns, clean columns, labels at random.

    python experiments/ensemble_guard.py --draws 60

Forty linear models of 300 rows each are really fitted, as `tests/support/made_up_models.py` says.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from made_up_models import fitted_models

from efn_compose.assess.ensembles import give_verdict, judge_methods, score, suspect_columns

METHOD = "bagged_climb"


def guarded(draws: int, leaking: int) -> str:
    """Return what the guard does in draws with so many leaking columns."""
    named, written, gains = 0, 0, []
    for seed in range(draws):
        out_of_fold, test, rows, truth, leaks = fitted_models(seed, leaking=leaking)
        suspects = suspect_columns(out_of_fold, rows.label, test)
        judged = judge_methods(out_of_fold, rows, "auc", [METHOD])
        verdict = give_verdict(judged, METHOD, [suspect.reason for suspect in suspects])
        named += [suspect.column for suspect in suspects] == leaks
        written += verdict.winner == ("median" if leaking else METHOD)
        values = [
            score("auc", truth, one.combination.combine(test)).value for one in judged.values()
        ]
        gains.append(values[1] - values[0])
    wanted = "median" if leaking else "climb"
    return (
        f"| {leaking} of 40 leak | {draws} | {named} | {written} ({wanted}) | "
        f"{np.mean(gains):+.4f} ± {np.std(gains, ddof=1) / draws**0.5:.4f} |"
    )


def at_random(draws: int, is_drawn_after: bool) -> str:
    """Return honest and flattering scores on labels at random."""
    honest, flattering = [], []
    for seed in range(draws):
        out_of_fold, _, rows, _, _ = fitted_models(1000 + seed, effect=0.0)
        if is_drawn_after:
            label = np.random.default_rng([seed, 1]).permutation(rows.label)
            rows = dataclasses.replace(rows, label=label)
        one = judge_methods(out_of_fold, rows, "auc", [METHOD])[METHOD]
        honest.append(one.honest.value)
        flattering.append(one.flattering.value)
    error = np.std(honest, ddof=1) / draws**0.5
    when = "drawn after the models" if is_drawn_after else "that the models were fitted to"
    values = f"{np.mean(honest):.4f} ± {error:.4f} | {np.mean(flattering):.4f}"
    return f"| labels at random, {when} | {draws} | {values} |"


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=60)
    draws = parser.parse_args().draws
    print("| columns | draws | exactly these named | written | climb minus median on test rows |")
    print("|---|---|---|---|---|")
    for leaking in (4, 0):
        print(guarded(draws, leaking), flush=True)
    print("\n| labels | draws | honest | flattering |\n|---|---|---|---|")
    for is_drawn_after in (True, False):
        print(at_random(draws, is_drawn_after), flush=True)


if __name__ == "__main__":
    main()
