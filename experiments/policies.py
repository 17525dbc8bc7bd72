"""Whether an augmentation policy that was searched for is ahead of TrivialAugment.

Purpose: 320 images of each set. Three networks are trained on three folds of them without augmentation;
         density matching finds a policy on the images that each network left out, 2,000 policies
         per search. Then one training on all 320 images without a policy, one under TrivialAugment and
         one under the found policy, of the same seed, scored on up to 1,500 test images
         that nothing has seen. The network is a Lite of a quarter of the width and three tenths
         of the depth, cut from Lite0 as ImageNet trained it, at 32 px.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/policies.py
         A killed one goes on with the same command; --report only writes the page.
Time:    two minutes of one core for each set and seed.
Result:  experiments/results/policies.md, policies.jsonl
"""

import argparse
import json
import os
import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measured import measured
from relatives_data import DONOR, SIZE, data_of
from rich.console import Console

from efn_compose.arch import arch_spec
from efn_compose.assess.metrics import accuracy, cross_entropy
from efn_compose.data import DataSet
from efn_compose.donors import Donor
from efn_compose.evolve.verdict.verdict import paired_difference
from efn_compose.jobs.donor_entries import load_donors
from efn_compose.jobs.executing import answering
from efn_compose.jobs.policies.expected import NOTHING
from efn_compose.jobs.policies.job import find
from efn_compose.jobs.policies.measurements import Measurements
from efn_compose.jobs.policies.preparation import prepare_policy
from efn_compose.jobs.study.starts import donor_start
from efn_compose.jobs.trainings.job import train
from efn_compose.jobs.trainings.watching.progress import TrainingProgress
from efn_compose.store import write_text
from efn_compose.store.journal import Journal
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.augment.policies.written import policy_text
from efn_compose.train.recipe import Classification, Trainer, TrainingData, TrainOptions, fit

NETWORK, IMAGES, TEST, FOLDS = "lite-w0.25-d0.3", 320, 1500, 3
SETS = ("digits", "garments", "textures")
#: What is right for none of them in general: a mirrored digit is none.
PLAIN: dict[str, Any] = {"flip_x": 0.0}
RECIPE: dict[str, Any] = {"epochs": 16, "batch_size": 32, "learning_rate": 3e-3}
ARMS = ("no policy", "TrivialAugment", "found")
RESULTS = Path(__file__).parent / "results"
JOURNAL, PAGE = RESULTS / "policies.jsonl", RESULTS / "policies.md"


def main() -> None:
    """Make what is missing of all seeds, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--report", action="store_true", help="only write the page")
    options = parser.parse_args()
    for seed in () if options.report else options.seeds:
        for name in options.sets:
            done = {(row["set"], row["seed"]) for row in measured(JOURNAL)}
            if (name, seed) not in done:
                row = run(name, seed, options.evaluations)
                with JOURNAL.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    if rows := measured(JOURNAL):
        write_text(PAGE, page(rows))


def run(name: str, seed: int, evaluations: int) -> dict[str, Any]:
    """Search on one draw of a data set, train under each policy, and return what was measured."""
    data = data_of(name, IMAGES, seed, validation=8, test=TEST)
    with tempfile.TemporaryDirectory() as place:
        donor, searched = search(data, seed, evaluations, Path(place))
    policies = dict(zip(ARMS, ("none", "trivial", searched["policy"]), strict=True))
    trainer = Trainer(donor, Classification(len(data.class_names), TrainOptions(**RECIPE)))
    parts = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    begun, scores = time.process_time(), {}
    for arm, auto in policies.items():
        augment = AugmentOptions(**PLAIN, auto=auto)
        # The last epoch is scored, none is chosen: the test images decide nothing.
        fitted = fit(
            donor,
            TrainingData(data.class_names, *parts),
            augment=augment,
            seed=1000 + seed,
            trainer=trainer,
        )
        trainer.put(fitted.last)
        logits = fitted.predict(data.test_images)
        scores[arm] = {
            "loss": cross_entropy(logits, data.test_labels),
            "accuracy": accuracy(logits, data.test_labels),
        }
    seconds = round(time.process_time() - begun, 1)
    return {"set": name, "seed": seed, **searched, "scores": scores, "training_seconds": seconds}


def search(
    data: DataSet, seed: int, evaluations: int, place: Path
) -> tuple[Donor, Mapping[str, Any]]:
    """Train the networks of the folds and find a policy with them.

    Returns:
        What trainings start from, and the policy with what was measured on the way.
    """
    begun = time.process_time()
    whole = load_donors([f"imagenet={DONOR}"])[0].without_head()
    donor = donor_start(whole, arch_spec(NETWORK), data.train_images)
    donor.save(place / "start.h5")
    np.savez(place / "images.npz", images=data.train_images, labels=data.train_labels)
    settings = {
        "weights.file": place / "start.h5", "data.source": f"npz:{place / 'images.npz'}",
        "data.size": SIZE, "validation.folds": FOLDS, "run.path": place / "run", "run.seed": seed,
        "executor.kind": "serial",
    }  # fmt: skip
    settings |= {f"train.{key}": value for key, value in RECIPE.items()}
    settings |= {f"augment.{key}": value for key, value in PLAIN.items()}
    train(overrides=[f"{key}={value}" for key, value in settings.items()], quiet=True)
    trained = time.process_time()
    words = [f"policy.networks={place / 'run'}", f"policy.evaluations={evaluations}"]
    words += [f"run.seed={seed}", f"run.path={place / 'policy'}", "executor.kind=serial"]
    prepared = prepare_policy(None, words, show_progress=False)
    quiet = TrainingProgress(1, Console(quiet=True))
    executor = prepared.config.executor
    with answering(prepared.setup, prepared.data, executor, quiet.note, most=1) as answer:
        journal = Journal(place / "journal.jsonl")
        measurements = Measurements(prepared, journal, answer)
        policy, scored = find(prepared, measurements, quiet)
        measurements.measure([(NOTHING, NOTHING)])
        held_out = {
            "as they are": measurements.of((NOTHING, NOTHING)).loss,
            "TrivialAugment": measurements.trivial().loss,
        }
        pairs = sum(len(record["measured"]) for record in journal) // FOLDS
        journal.close()
    return donor, {
        "policy": policy_text(policy),
        "held_out": held_out,
        "evaluations": scored,
        "pairs": pairs,
        "networks_seconds": round(trained - begun, 1),
        "search_seconds": round(time.process_time() - trained, 1),
    }


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page in Markdown."""
    command = "TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/policies.py"
    purpose = (__doc__ or "").partition("Purpose: ")[2].partition("Command:")[0]
    groups = {name: [row for row in rows if row["set"] == name] for name in SETS}
    seeds = ", ".join(f"{len(some)} of {name}" for name, some in groups.items())
    lines = [
        "# Is a policy that was searched for ahead of TrivialAugment?\n",
        f"**{_answer(groups)}**\n",
        textwrap.fill(" ".join([f"`{command}`:", *purpose.split()]), 118) + "\n",
        f"Seeds so far: {seeds}. Each is a line of `policies.jsonl`. The same command makes "
        "what is missing.\n",
        "| set | seeds | searched minus TrivialAugment, loss | accuracy, points | "
        "searched minus no policy, loss | accuracy, points |",
        "|---|---|---|---|---|---|",
    ]
    for name, some in groups.items():
        cells = [
            _difference(some, arm, score)
            for arm in ("TrivialAugment", "no policy")
            for score in ("loss", "accuracy")
        ]
        lines.append(f"| {name} | {len(some)} | {' | '.join(cells)} |")
    lines += ["", "| set | arm | loss | accuracy |", "|---|---|---|---|"]
    for name, some in groups.items():
        for arm in ARMS if some else ():
            loss, right = (
                np.mean([row["scores"][arm][score] for row in some])
                for score in ("loss", "accuracy")
            )
            lines.append(f"| {name} | {arm} | {loss:.4f} | {100 * right:.1f} % |")
    seconds = sum(row["search_seconds"] for row in rows)
    scored = sum(row["evaluations"] for row in rows)
    networks, finals = (
        np.mean([row[key] for row in rows]) for key in ("networks_seconds", "training_seconds")
    )
    lines += [
        "",
        f"A search scored {scored / len(rows):,.0f} policies, made of "
        f"{np.mean([row['pairs'] for row in rows]):,.0f} measured pairs of steps, in "
        f"{seconds / len(rows):.0f} processor seconds: "
        f"**{3600 * scored / seconds:,.0f} policy evaluations per hour of one core**. The three networks "
        f"took {networks:.0f} processor seconds, and the three trainings of the comparison "
        f"{finals:.0f}.\n",
    ]
    return "\n".join(lines)


def _answer(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a sentence for all data sets of which the same is to be said."""
    names: dict[str, list[str]] = {}
    for name, rows in groups.items():
        if rows:
            names.setdefault(_words(rows), []).append(name)
    return " ".join(f"On {', '.join(some)} {words}." for words, some in names.items())


def _words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return by the loss whether the found policies are ahead of TrivialAugment on a data set."""
    if len(rows) < 2:
        return "one seed is no evidence either way"
    losses = ([row["scores"][arm]["loss"] for row in rows] for arm in ("found", "TrivialAugment"))
    change = paired_difference(*losses)
    if change.is_clearly_better or change.is_clearly_worse:
        place = "ahead of" if change.is_clearly_better else "behind"
        return f"found policies are {place} TrivialAugment by more than a standard error"
    return "found policies and TrivialAugment are not told apart"


def _difference(rows: Sequence[Mapping[str, Any]], arm: str, score: str) -> str:
    found, others = (
        [row["scores"][name][score] * (100 if score == "accuracy" else 1) for row in rows]
        for name in ("found", arm)
    )
    digits = 1 if score == "accuracy" else 4
    if len(rows) < 2:
        return "".join(f"{a - b:+.{digits}f}" for a, b in zip(found, others, strict=True)) or "–"
    change = paired_difference(found, others)
    return f"{change.mean:+.{digits}f} ± {change.standard_error:.{digits}f}"


if __name__ == "__main__":
    main()
