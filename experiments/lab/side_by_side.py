"""Networks side by side for `experiments/ensembles.py`: frozen under one classifier, or trained as one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.assess.metrics import log_softmax
from efn_compose.data import load_table
from efn_compose.donors import Donor
from efn_compose.jobs.ensembles.columns import Members
from efn_compose.jobs.ensembles.joint import join, start_at
from efn_compose.jobs.predictions.networks import Network
from efn_compose.jobs.predictions.stream import stream_images
from efn_compose.nesting.heads import fit_ridge
from efn_compose.statistics.recalibrate import recalibrate

SIDE, BATCH = 32, 32
#: Adam's first rate of the joint training, a third of what its members began with.
JOINT_RATE = 3e-4
#: Answers to known images out of fold and to the others, (image, class) probabilities each.
Answers = tuple[np.ndarray, np.ndarray]


def pixels(source: Path) -> np.ndarray:
    """Return the images of an archive as trainings see them, uint8 (image, 32, 32, 3)."""
    table = load_table(f"npz:{source}", needs_labels=False)
    return np.concatenate([found[SIDE] for _, found in stream_images(table, (SIDE,))])


def one_of_each(members: Members) -> list[int]:
    """Return the numbers of the columns with the lowest seed of each run."""
    seeds = {m.column.source: [] for m in members.members}
    for number, member in enumerate(members.members):
        seeds[member.column.source].append((member.column.seed, number))
    return [min(pairs)[1] for pairs in seeds.values()]


class Features:
    """Pooled features of networks, one built network per architecture."""

    def __init__(self, folder: Path, known: np.ndarray, other: np.ndarray) -> None:
        self._folder, self._images = folder, np.concatenate([known, other])
        self._built: dict[str, object] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, network: Network) -> np.ndarray:
        """Return (image, feature) float32 of the known images, then of the others; kept on disk."""
        run = network.run.name if network.run else ""
        path = self._folder / f"{run}_{network.name}.npy"
        if not path.exists():
            np.save(path, self._asked(network))
        return np.load(path).astype(np.float32)

    def _asked(self, network: Network) -> np.ndarray:
        import keras
        from keras import layers

        from efn_compose.models.efficientnet import build_model, model_variables

        donor, _ = network.load()
        key = donor.spec.variant
        if key not in self._built:
            body = build_model(donor.spec, donor.conventions, include_top=False)
            pooled = layers.GlobalAveragePooling2D()(body.output)
            self._built[key] = body, keras.Model(body.input, pooled)
        body, model = self._built[key]
        for name, variable in model_variables(body, donor.spec, None).items():
            variable.assign(donor.tensors[name])
        return np.asarray(
            model.predict(donor.preprocess(self._images), batch_size=256, verbose=0), np.float16
        )


def meta_ensembles(
    members: Members, features: Features, chosen: Sequence[int]
) -> dict[str, Answers]:
    """Fit one classifier to the features of some columns, per fold, on two kinds of rows.

    On the rows that the bodies were trained on (the trap), and on those of the fold that none saw.
    """
    rows = members.rows
    count, truth = len(rows), np.eye(len(rows.class_names))[rows.label]
    found: dict[str, list[np.ndarray]] = {"seen": [], "unseen": []}
    honest = {name: np.zeros(truth.shape) for name in found}
    for place, fold in enumerate(np.unique(rows.fold)):
        networks = [members.members[number].networks[place] for number in chosen]
        x = np.concatenate([features.of(network) for network in networks], axis=1)
        x = x.astype(np.float64)
        inside, outside = rows.fold != fold, rows.fold == fold
        kernel, bias = fit_ridge(x[:count][inside], truth[inside])
        honest["seen"][outside] = _shares(x[:count][outside] @ kernel + bias)
        found["seen"].append(_shares(x[count:] @ kernel + bias))
        own = np.flatnonzero(outside)
        part = np.random.default_rng(place).permutation(len(own)) % 5
        for number in range(5):
            known, asked = own[part != number], own[part == number]
            kernel, bias = fit_ridge(x[known], truth[known])
            honest["unseen"][asked] = _shares(x[asked] @ kernel + bias)
        kernel, bias = fit_ridge(x[own], truth[own])
        found["unseen"].append(_shares(x[count:] @ kernel + bias))
    return {
        f"meta-ensemble of 4, fitted to {words}": (honest[name], np.mean(found[name], axis=0))
        for name, words in (
            ("seen", "rows the bodies saw"),
            ("unseen", "the fold they did not see"),
        )
    }


def joint_networks(
    members: Members,
    known: np.ndarray,
    other: np.ndarray,
    chosen: Sequence[int],
    epochs: int,
    folder: Path,
) -> dict[str, Answers]:
    """Train some columns as one network, fold by fold, from the sum of their logits on.

    Each fold's members are the networks that did not see it, classifiers included.
    """
    rows = members.rows
    found: dict[str, list[np.ndarray]] = {"start": [], "trained": []}
    honest = {name: np.zeros((len(rows), len(rows.class_names))) for name in found}
    trainer: JointTrainer | None = None
    for place, fold in enumerate(np.unique(rows.fold)):
        outside = rows.fold == fold
        asked = np.concatenate([known[outside], other])
        donors = [members.members[number].networks[place].load()[0] for number in chosen]
        for name in found:
            path = folder / f"joint_{name}_fold{fold}.npy"
            if not path.exists():
                if trainer is None:
                    steps = epochs * -(-int((~outside).sum()) // BATCH)
                    trainer = JointTrainer(donors, steps)
                trainer.start(donors)
                if name == "trained":
                    trainer.train(known[~outside], rows.label[~outside], epochs)
                np.save(path, trainer.answers(asked))
            stated = np.load(path)
            honest[name][outside] = stated[: int(outside.sum())]
            found[name].append(stated[int(outside.sum()) :])
    count = len(chosen)
    words = {
        "start": f"sum of logits of these {count}: the start of the joint network",
        "trained": f"joint network of these {count}, {epochs} more epochs",
    }
    return {
        words[name]: (honest[name], np.mean(found[name], axis=0)) for name in ("start", "trained")
    }


class JointTrainer:
    """A joint network that is built and traced once, and trained fold after fold.

    Args:
        donors: Name the members.
        steps: Of a training.
    """

    def __init__(self, donors: Sequence[Donor], steps: int) -> None:
        import keras

        keras.utils.set_random_seed(1)
        self._joint = join(donors, auxiliary=True)
        self._model = self._joint.model
        for layer in self._model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                # A few dozen steps: with Keras' 0.99 the averages would still be those of before.
                layer.momentum = 0.9
        self._names = list(self._model.output)
        self._optimizer = keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(JOINT_RATE, steps)
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._model.compile(
            self._optimizer,
            loss=dict.fromkeys(self._names, loss),
            loss_weights={name: 1.0 if name == "joint" else 0.3 for name in self._names},
        )
        self._optimizer.build(self._model.trainable_variables)
        self._fresh = [np.array(variable) for variable in self._optimizer.variables]

    def start(self, donors: Sequence[Donor]) -> None:
        """Begin at the donors' networks and classifiers; nothing is left of the training before."""
        start_at(self._model, self._joint.members, donors)
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def train(self, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
        """Train, and re-estimate BatchNorm statistics, as `efn-compose train` does."""
        pixels = images.astype(np.float32)
        targets = dict.fromkeys(self._names, labels)
        self._model.fit(pixels, targets, batch_size=BATCH, epochs=epochs, verbose=0)
        recalibrate(self._model, pixels)

    def answers(self, images: np.ndarray) -> np.ndarray:
        """Return the joint head's probabilities (image, class)."""
        said = self._model.predict(images.astype(np.float32), batch_size=256, verbose=0)
        return _shares(said["joint"])


def _shares(logits: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(np.asarray(logits, np.float64)))
