"""Images per second of our augmentation against Keras core's RandAugment, 128 px, one core.

Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/augmentation_speed.py
Both run in tf.data on the same batches, in turns, in one process; the ratio counts. Then what
augmentation adds to the epoch of an evaluation: Lite0, 320 images of 48 px.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.nesting.fills import fresh_values
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.resident.resident import ResidentModel, TrainSettings

SIDE, BATCH, BATCHES, ROUNDS = 128, 64, 4, 5


def seconds(data: tf.data.Dataset) -> float:
    start = time.perf_counter()
    for _ in data:
        pass
    return time.perf_counter() - start


def main() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH * BATCHES, SIDE, SIDE, 3)).astype(np.uint8)
    source = tf.data.Dataset.from_tensor_slices((images, np.arange(len(images)))).batch(BATCH)
    core = keras.layers.RandAugment(value_range=(0, 255), num_ops=2, factor=0.3)
    everything = AugmentOptions(
        flip_y=0.5, rotation=30, stretch=0.2, brightness=0.1, contrast=0.2, hue=0.05, grid=0.5,
        holes=4, randaugment_ops=2,
    )  # fmt: skip
    randaugment = AugmentOptions(flip_x=0.0, randaugment_ops=2, randaugment_strength=0.3)
    runs = {
        "Keras core RandAugment, 2 operations": lambda x, n: core(tf.cast(x, tf.float32)),
        "ours, RandAugment, 2 operations": lambda x, n: augment(x, n, randaugment, seed=1),
        "ours, everything but overlays": lambda x, n: augment(x, n, everything, seed=1),
    }
    data = {name: source.map(function) for name, function in runs.items()}
    for one in data.values():
        seconds(one)
    found = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, one in data.items():
            found[name].append(seconds(one))
    base = np.median(next(iter(found.values())))
    print("| augmentation | images per second | ratio |\n|---|---|---|")
    for name, times in found.items():
        middle = np.median(times)
        print(f"| {name} | {len(images) / middle:,.0f} | {base / middle:.1f} |")
    epochs()


def epochs(rounds: int = 4) -> None:
    """Print the seconds of an evaluation's epoch with and without augmentation."""
    spec = arch_spec("lite0")
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (320, 48, 48, 3)).astype(np.uint8))
    labels = tf.constant(np.arange(320, dtype=np.int32) % 10)
    tensors = {tensor.name: fresh_values(tensor, "he", 1) for tensor in inventory(spec)}
    arms = {
        "none": None,
        "rotation, contrast, 2 holes": AugmentOptions(rotation=20, contrast=0.2, holes=2),
        "RandAugment, 2 operations": AugmentOptions(randaugment_ops=2),
    }
    found = {name: [] for name in arms}
    models = {
        name: ResidentModel(spec, default_conventions(spec), 10, TrainSettings(augment=options))
        for name, options in arms.items()
    }
    for turn in range(rounds + 1):
        for name, model in models.items():
            model.load(tensors, seed=turn)
            order = model.epoch_order(320, seed=turn)
            start = time.perf_counter()
            model.train(images, labels, order)
            # The first turn traces.
            found[name] += [time.perf_counter() - start] if turn else []
    base = np.median(found["none"])
    print("\n| augmentation in an evaluation | seconds of its epoch | ratio |\n|---|---|---|")
    for name, times in found.items():
        print(f"| {name} | {np.median(times):.2f} | {np.median(times) / base:.2f} |")


if __name__ == "__main__":
    main()
