"""Networks side by side in one trainable Keras model, on one raw image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from efn_compose.arch import ArchSpec, Conventions
from efn_compose.errors import ConfigError, describe_problems
from efn_compose.models.efficientnet import build_model, model_variables

#: Share of updates in which a branch is left out as a whole: otherwise the strongest one starves the rest.
BRANCH_DROPOUT = 0.2
HEAD, FEATURES = "joint_head", "joint_features"


@dataclass(frozen=True)
class Branch:
    """One network of several.

    Args:
        name: Unique among the branches; letters, digits, `-` and `_`.
        spec: The network.
        conventions: How its weights want to be run, its input scaling among them.
        size: Height and width that it wants; None takes images as they come.
    """

    name: str
    spec: ArchSpec
    conventions: Conventions
    size: int | None = None


def build_joint(
    branches: Sequence[Branch],
    classes: int,
    *,
    branch_dropout: float = BRANCH_DROPOUT,
    auxiliary: bool = False,
    seed: int = 1,
) -> keras.Model:
    """Build several networks on one input, their pooled features side by side under one linear head.

    The input is a raw image, values 0-255. Each branch scales and resizes it for itself. In training,
    whole branches are dropped at random, image by image. The model is plain Keras: it trains, saves and
    loads like any other.

    Args:
        branches: Two or more networks.
        classes: Width of the head.
        branch_dropout: Probability that an image does without a branch, 0 to below 1.
        auxiliary: Give each branch a head of its own as well. The model then has a dictionary of
            outputs: "joint" and the branches' names; weigh the losses with about 0.3 each.
        seed: Of the heads' weights.

    Returns:
        From images (image, height, width, 3) to logits (image, class), or a dictionary of them.

    Raises:
        ConfigError: Fewer than two branches, names that cannot be layers' names or occur twice, or a
            dropout that makes no sense.

    Example:
        >>> pair = [Branch(name, donor.spec, donor.conventions) for name in "ab"]  # doctest: +SKIP
        >>> build_joint(pair, classes=3).output_shape  # doctest: +SKIP
        (None, 3)
    """
    _check(branches, branch_dropout)
    image = keras.Input((None, None, 3), name="image")
    features, outputs = [], {}
    for branch in branches:
        scaling = branch.conventions.preprocessing
        x = image
        if branch.size is not None:
            # Not the layer Resizing: behind one, Keras 3.15 takes `model(x)` for training.
            x = keras.ops.image.resize(x, (branch.size, branch.size), antialias=True)
        x = layers.Normalization(
            mean=list(scaling.mean),
            variance=[value**2 for value in scaling.std],
            name=f"{branch.name}_scale",
        )(x)
        backbone = build_model(branch.spec, branch.conventions, include_top=False)
        backbone.name = branch.name
        pooled = layers.GlobalAveragePooling2D(name=f"{branch.name}_pool")(backbone(x))
        if auxiliary:
            outputs[branch.name] = _head(classes, f"{branch.name}_head", seed)(pooled)
        if branch_dropout:
            pooled = layers.Dropout(
                branch_dropout, noise_shape=(None, 1), name=f"{branch.name}_dropout"
            )(pooled)
        features.append(pooled)
    together = layers.Concatenate(name=FEATURES)(features)
    logits = _head(classes, HEAD, seed)(together)
    return keras.Model(image, {"joint": logits, **outputs} if auxiliary else logits, name="joint")


def _head(classes: int, name: str, seed: int) -> layers.Dense:
    start = keras.initializers.GlorotUniform(seed=seed)
    return layers.Dense(classes, name=name, kernel_initializer=start)


def branch_variables(model: keras.Model, branch: Branch) -> dict[str, Any]:
    """Return a branch's variables by canonical tensor name.

    Args:
        model: Of `build_joint`, perhaps loaded from a file.
        branch: One of its branches.
    """
    return model_variables(model.get_layer(branch.name), branch.spec, None)


def assign_branch(model: keras.Model, branch: Branch, tensors: Mapping[str, np.ndarray]) -> None:
    """Give a branch its weights.

    Args:
        model: Of `build_joint`.
        branch: One of its branches.
        tensors: By canonical name; a classifier among them is not looked at.
    """
    for name, variable in branch_variables(model, branch).items():
        variable.assign(tensors[name])


def assign_head(model: keras.Model, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Give the joint head its weights.

    Args:
        model: Of `build_joint`.
        kernel: (feature, class), the branches' features in their order.
        bias: (class,).
    """
    head = model.get_layer(HEAD)
    head.kernel.assign(kernel)
    head.bias.assign(bias)


def _check(branches: Sequence[Branch], branch_dropout: float) -> None:
    names = [branch.name for branch in branches]
    problems = []
    if len(branches) < 2:
        problems.append(f"- branches: expected two or more, received {len(branches)}")
    problems += [
        f"- branch {name!r}: occurs {names.count(name)} times"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    problems += [
        f"- branch {name!r}: a name has letters, digits, - and _ only"
        for name in names
        if not name or not name.replace("-", "").replace("_", "").isalnum()
    ]
    if not 0 <= branch_dropout < 1:
        problems.append(f"- branch_dropout: expected 0 to below 1, received {branch_dropout}")
    if problems:
        raise ConfigError(describe_problems("These networks cannot be joined.", problems))
