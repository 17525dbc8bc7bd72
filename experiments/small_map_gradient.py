"""Epochs of the resident model with Keras' depthwise layers and with ours, taken in turn.

    python experiments/small_map_gradient.py --variant lite0 --size 32

Both train the same weights on the same images in one process with one thread; times are the
processor time of an epoch, the median over rounds, so that a busy machine disturbs little.
"""

import argparse
import os
import statistics
import time

for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from efn_compose.arch import arch_spec, default_conventions  # noqa: E402
from efn_compose.models.fast_layers import LayerKinds  # noqa: E402
from efn_compose.models.small_maps import SmallMapDepthwise  # noqa: E402
from efn_compose.train.engine.placement import Placement  # noqa: E402
from efn_compose.train.resident import resident  # noqa: E402


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--variant", default="lite0")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    spec = arch_spec(args.variant)
    rng = np.random.default_rng(0)
    shape = (args.images, args.size, args.size, 3)
    images = tf.constant(rng.integers(0, 255, shape), tf.uint8)
    labels = tf.constant(rng.integers(0, 10, args.images), tf.int32)
    models = {}
    for name, layer in (("Keras", layers.DepthwiseConv2D), ("ours", SmallMapDepthwise)):
        models[name] = resident.ResidentModel(
            spec,
            default_conventions(spec),
            10,
            resident.TrainSettings(dropout=0.0),
            args.size,
            Placement(layers=LayerKinds(layer)),
        )
    start = models["Keras"].tensors()
    order = models["Keras"].epoch_order(args.images, seed=1)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    losses = {}
    for number in range(args.rounds + 1):
        for name, model in models.items():
            model.load(start, seed=1)
            began = time.process_time()
            losses[name] = model.train(images, labels, order)
            if number:
                seconds[name].append(time.process_time() - began)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["Keras"], seconds["ours"], strict=True)]
    print(
        f"{args.variant} {args.size} px: "
        + ", ".join(f"{n} {args.images / s:.0f} images/s, loss {losses[n]:.6f}"
                    for n, s in medians.items())
        + f"; ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )  # fmt: skip


if __name__ == "__main__":
    main()
