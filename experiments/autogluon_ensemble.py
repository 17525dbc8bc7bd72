"""Our bagged climb and AutoGluon's weighted ensemble on the same predictions and outer folds.

AutoGluon cannot be installed beside us, since it wants an older Ray. It gets an environment of its own:

    python -m venv autogluon && autogluon/bin/pip install autogluon.core
    python experiments/autogluon_ensemble.py --python autogluon/bin/python --draws 10
    python experiments/autogluon_ensemble.py --python autogluon/bin/python --store runs/submission/predictions

Both see all rows but the outer fold's, and are scored on that fold. Times are processor seconds of the
fits alone.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

#: Picks of AutoGluon's newest preset.
PICKS = 40


def oracle(source: Path, target: Path) -> None:
    """Run AutoGluon's selection on every outer fold; this part runs in its environment."""
    from autogluon.core.metrics import log_loss, roc_auc
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    with np.load(source) as file:
        stated, label, fold = file["stated"], file["label"], file["fold"]
        measure = str(file["measure"])
    is_binary = stated.shape[2] == 2
    given = stated[..., 1] if is_binary else stated
    honest, seconds = np.zeros(stated.shape[1:]), 0.0
    for number in np.unique(fold):
        inside = fold != number
        begun = time.process_time()
        selection = EnsembleSelection(
            PICKS,
            "binary" if is_binary else "multiclass",
            roc_auc if measure == "auc" else log_loss,
            random_state=np.random.RandomState(0),
        )
        selection.fit([model[inside] for model in given], label[inside])
        seconds += time.process_time() - begun
        weights = np.asarray(selection.weights_)
        honest[~inside] = np.tensordot(weights, stated[:, ~inside], axes=1)
    np.savez(target, honest=honest, seconds=seconds)


def other_answer(
    python: str, stated: np.ndarray, label: np.ndarray, fold: np.ndarray, measure: str
) -> tuple[np.ndarray, float]:
    """Return AutoGluon's honest answers, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(source, stated=stated, label=label, fold=fold, measure=measure)
        subprocess.run(
            [python, __file__, "--oracle", str(source), str(target)],
            check=True,
            env={"PATH": "", "OMP_NUM_THREADS": "1"},
        )
        with np.load(target) as file:
            return file["honest"], float(file["seconds"])


def main() -> None:
    """Compare, and print a row per store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="of AutoGluon's environment")
    parser.add_argument("--draws", type=int, default=0)
    parser.add_argument("--store", type=Path, help="a prediction store; the measure is the loss")
    parser.add_argument("--oracle", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.oracle:
        oracle(*options.oracle)
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    from made_up_models import fitted_models

    from efn_compose.assess.ensembles import compare, judge_methods, score
    from efn_compose.assess.prediction_store import PredictionStore

    cases = []
    for seed in range(8000, 8000 + options.draws):
        out_of_fold, _, rows, _, _ = fitted_models(seed)
        cases.append((f"draw {seed}", out_of_fold, rows, "auc"))
    if options.store:
        store = PredictionStore(options.store)
        cases.append((options.store.parent.name, store.probability(), store.rows, "loss"))
    print(
        "| predictions | measure | bagged climb | AutoGluon | difference | seconds | AutoGluon's |"
    )
    print("|---|---|---|---|---|---|---|")
    differences = []
    for name, stated, rows, measure in cases:
        begun = time.process_time()
        ours = judge_methods(stated, rows, measure, ["bagged_climb"])["bagged_climb"]
        seconds = time.process_time() - begun
        theirs, other_seconds = other_answer(options.python, stated, rows.label, rows.fold, measure)
        value = score(measure, rows.label, theirs)
        found = compare(ours.honest, value, rows.clusters)
        differences.append(found.difference)
        print(
            f"| {name} | {measure} | {ours.honest.value:.4f} | {value.value:.4f} | "
            f"{found.difference:+.4f} ± {found.standard_error:.4f} | {seconds:.1f} | "
            f"{other_seconds:.1f} |",
            flush=True,
        )
    if len(differences) > 1:
        error = np.std(differences, ddof=1) / len(differences) ** 0.5
        print(f"\nMean difference {np.mean(differences):+.4f} ± {error:.4f}.")


if __name__ == "__main__":
    main()
