"""How often the guard of an ensemble decides rightly: leaking columns, clean columns, labels at random.

    python experiments/ensemble_guard.py --draws 60
    python experiments/ensemble_guard.py --draws 20 --first 5000    # seeds that tuned nothing
    python experiments/ensemble_guard.py --draws 200 --only-labels  # labels at random alone

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


def guarded(seeds: range, leaking: int) -> str:
    """Return what the guard does in draws with so many leaking columns."""
    named, written, both, gains = 0, 0, 0, []
    for seed in seeds:
        out_of_fold, test, rows, truth, leaks = fitted_models(seed, leaking=leaking)
        suspects = suspect_columns(out_of_fold, rows.label, test)
        judged = judge_methods(out_of_fold, rows, "auc", [METHOD])
        verdict = give_verdict(judged, METHOD, [suspect.reason for suspect in suspects])
        is_named = [suspect.column for suspect in suspects] == leaks
        is_written = verdict.winner == ("median" if leaking else METHOD)
        named, written, both = (
            named + is_named,
            written + is_written,
            both + (is_named and is_written),
        )
        values = [
            score("auc", truth, one.combination.combine(test)).value for one in judged.values()
        ]
        gains.append(values[1] - values[0])
    wanted = "median" if leaking else "climb"
    return (
        f"| {leaking} of 40 leak | {len(seeds)} | {named} | {written} ({wanted}) | {both} | "
        f"{np.mean(gains):+.4f} ± {np.std(gains, ddof=1) / len(seeds) ** 0.5:.4f} |"
    )


def at_random(draws: int, first: int, is_drawn_after: bool) -> str:
    """Return a combination's scores on labels at random: by outer folds, by its own rows, by new rows."""
    found = []
    for seed in range(draws):
        out_of_fold, test, rows, truth, _ = fitted_models(first + 1000 + seed, effect=0.0)
        if is_drawn_after:
            label = np.random.default_rng([seed, 1]).permutation(rows.label)
            rows = dataclasses.replace(rows, label=label)
        one = judge_methods(out_of_fold, rows, "auc", [METHOD])[METHOD]
        new = score("auc", truth, one.combination.combine(test)).value
        found.append((one.honest.value, one.flattering.value, new))
    when = "drawn after the models" if is_drawn_after else "that the models were fitted to"
    errors = np.std(found, axis=0, ddof=1) / draws**0.5
    values = (
        f"{mean:.4f} ± {error:.4f}"
        for mean, error in zip(np.mean(found, axis=0), errors, strict=True)
    )
    return f"| labels at random, {when} | {draws} | {' | '.join(values)} |"


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--only-labels", action="store_true", help="labels at random alone")
    options = parser.parse_args()
    draws, seeds = options.draws, range(options.first, options.first + options.draws)
    if not options.only_labels:
        heads = "columns | draws | exactly these named | written | both | climb minus median on test rows"
        print(f"| {heads} |\n|---|---|---|---|---|---|")
        for leaking in (4, 0):
            print(guarded(seeds, leaking), flush=True)
    print(
        "\n| labels | draws | outer folds | its own rows | 1,000 new rows |\n|---|---|---|---|---|"
    )
    for is_drawn_after in (True, False):
        print(at_random(draws, options.first, is_drawn_after), flush=True)


if __name__ == "__main__":
    main()
