"""Why does a refitted mixture train faster than its donors? Three controls, and what explains it.

Donors: ImageNet Lite1 and Lite0 nested into Lite1; data, sizes and splits of scoreboard.toml,
320 training images of 32 px, Adam 1e-3. Every start gets the same epochs:

- the donors as they are;
- the average of Lite1 and aligned Lite0, project convolutions refitted to Lite1's outputs;
- control: the average of Lite1 and *itself with shuffled kernels*, refitted alike, so that no
  second network takes part;
- Lite1, its BatchNorm rewritten for the images' statistics, its function unchanged;
- Lite1 trained with BatchNorm frozen in inference mode, as Keras' guide to fine-tuning advises:
  plain `fit`, its own head and order of images.

    python experiments/absorb.py -o experiments/results/absorb.md

Expected: a quarter of an hour on one idle core.
"""

import argparse
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import scoreboard
from scoreboard_bench import Bench
from seeding import data_set

from efn_compose.assess.metrics import best_temperature, scores
from efn_compose.compose import Recipe, genome_space
from efn_compose.donors import Donor
from efn_compose.donors.alignment.align import align
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import FinishTask
from efn_compose.jobs.donor_entries import load_donors

HERE = Path(__file__).parent
RATE = 1e-3
EPOCHS = (1, 4)

Tensors = Mapping[str, np.ndarray]


def shuffled(tensors: Tensors, seed: int) -> dict[str, np.ndarray]:
    """Return a network's tensors, the numbers within each kernel in random order."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.permutation(values.reshape(-1)).reshape(values.shape)
        if values.ndim > 1
        else values
        for name, values in tensors.items()
    }


def refitted_average(bench: Bench, first: Tensors, second: Tensors) -> Tensors:
    """Return the mean of two networks, its project convolutions refitted to the first's outputs."""
    space = genome_space(bench.donors[0].spec, 2, "block")
    with bench.fitness(refit=True):
        bench.evaluator.sit(Seat(space, [first, second]))
        return FinishTask(Recipe.average(2)).run(bench.evaluator)


def starts(bench: Bench) -> Iterator[tuple[str, Tensors]]:
    """Yield every start."""
    lite1, lite0 = bench.donors
    aligned = align([lite1, lite0], bench.data.train_images[:200]).donors[1]
    yield "Lite1", lite1.tensors
    yield "Lite0", lite0.tensors
    yield (
        "average of Lite1 and aligned Lite0, refitted",
        refitted_average(bench, lite1.tensors, aligned.tensors),
    )
    yield (
        "average of Lite1 and Lite1 shuffled, refitted",
        refitted_average(bench, lite1.tensors, shuffled(lite1.tensors, bench.seed)),
    )
    absorbed = bench.variation("all", bench.rate)
    yield "Lite1, statistics absorbed", absorbed.donors[0].tensors
    yield "Lite0, statistics absorbed", absorbed.donors[1].tensors


def measure(bench: Bench, tensors: Tensors) -> list[tuple[float, float]]:
    """Return test accuracy and loss after some epochs."""
    found = []
    for epoch in range(max(EPOCHS)):
        tensors = bench.train(tensors, "fine-tuning", epoch, rate=RATE)
        if epoch + 1 in EPOCHS:
            result = bench.score(tensors, "test")["test"]
            found.append((result["accuracy"], result["loss"]))
    return found


def measure_frozen(bench: Bench, donor: Donor) -> list[tuple[float, float]]:
    """Return the same of a training in Keras whose BatchNorm keeps its stored statistics."""
    data = bench.data
    keras.utils.set_random_seed(bench.seed)
    model = donor.build(input_shape=(data.size, data.size, 3), classes=data.classes)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss)
    inputs, found = donor.preprocess(data.train_images), []
    batch = bench.evaluator.setup.fitness.batch_size
    for epoch in range(max(EPOCHS)):
        model.fit(inputs, data.train_labels, batch_size=batch, verbose=0)
        if epoch + 1 in EPOCHS:
            logits = model.predict(donor.preprocess(data.test_images), verbose=0)
            result = scores(
                logits,
                data.test_labels,
                "accuracy",
                temperature=best_temperature(logits, data.test_labels),
            )
            found.append((result["accuracy"], result["loss"]))
    return found


def table(rows: Mapping[tuple[str, str], list[list[tuple[float, float]]]], command: str) -> str:
    """Return the tables in Markdown."""
    lines = [
        "# Why refitted mixtures train faster: controls",
        "",
        f"Made by `{command}`. Test accuracy and NLL, mean ± standard error over seeds.",
    ]
    for source in dict.fromkeys(source for source, _ in rows):
        lines += [
            "",
            f"## {source}",
            "",
            "| start | seeds | one epoch | four epochs |",
            "|---" * 4 + "|",
        ]
        for (where, start), found in rows.items():
            if where == source:
                values = np.array(found)  # (seed, epoch, score)
                cells = [_cell(values[:, epoch]) for epoch in range(len(EPOCHS))]
                lines.append(f"| {start} | {len(values)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: np.ndarray) -> str:
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1 if len(values) > 1 else 0)
    error /= len(values) ** 0.5
    return f"{100 * mean[0]:.1f} ± {100 * error[0]:.1f} %, {mean[1]:.3f} ± {error[1]:.3f}"


def main() -> None:
    """Run the experiment and write its tables after every seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    config = tomllib.loads((HERE / "scoreboard.toml").read_text(encoding="utf-8"))
    own: dict[str, Any] = scoreboard.merged(config, "independent")
    donors = load_donors(own["donors"], own["variant"])
    rows: dict[tuple[str, str], list[list[tuple[float, float]]]] = {}
    for seed in range(1, options.seeds + 1):
        for source in config["data_sets"]:
            setup = WorkerSetup(
                donors[0].spec,
                donors[0].conventions,
                FitnessOptions(**config["fitness"]),
                **config["worker"],
            )
            data = data_set(source, {**config, "split_seed": seed})
            bench = Bench(setup.make_worker(data), data, donors, own, seed)
            for name, tensors in starts(bench):
                rows.setdefault((source, name), []).append(measure(bench, tensors))
                print(source, seed, name, rows[source, name][-1], flush=True)
            frozen = rows.setdefault((source, "Lite1, BatchNorm frozen"), [])
            frozen.append(measure_frozen(bench, donors[0]))
        command = f"python experiments/absorb.py --seeds {options.seeds} -o {options.output}"
        options.output.write_text(table(rows, command), encoding="utf-8")


if __name__ == "__main__":
    main()
