"""Images per second of our augmentation against Keras core's RandAugment, 128 px, one core.

Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/augmentation_speed.py
Both run in tf.data on the same batches, in turns, in one process; the ratio counts.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

from efn_compose.train.augment import AugmentOptions, augment

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


if __name__ == "__main__":
    main()
