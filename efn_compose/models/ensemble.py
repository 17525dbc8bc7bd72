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

#: Share of updates in which a member is left out as a whole: otherwise the strongest one starves the rest.
MEMBER_DROPOUT = 0.2
HEAD, FEATURES = "joint_head", "joint_features"
#: Names of the layers and outputs that are no member's.
OWN_LAYERS = frozenset({"image", "joint", HEAD, FEATURES})


@dataclass(frozen=True)
class Member:
    """One network of several.

    Args:
        name: Unique among the members; letters, digits, `-` and `_`.
        spec: The network.
        conventions: How its weights want to be run, its input scaling among them.
        size: Height and width that it wants; None takes images as they come.
    """

    name: str
    spec: ArchSpec
    conventions: Conventions
    size: int | None = None


def build_joint(
    members: Sequence[Member],
    classes: int,
    *,
    member_dropout: float = MEMBER_DROPOUT,
    auxiliary: bool = False,
    seed: int = 1,
) -> keras.Model:
    """Build several networks on one input, their pooled features side by side under one linear head.

    The input is a raw image, values 0-255. Each member scales and resizes it for itself. In training,
    whole members are dropped at random, image by image. The model is plain Keras: it trains, saves and
    loads like any other.

    Args:
        members: Two or more networks.
        classes: Width of the head.
        member_dropout: Probability that an image does without a member, 0 to below 1.
        auxiliary: Give each member a head of its own as well. The model then has a dictionary of
            outputs: "joint" and the members' names; weigh the losses with about 0.3 each.
        seed: Of the heads' weights.

    Returns:
        From images (image, height, width, 3) to logits (image, class), or a dictionary of them.

    Raises:
        ConfigError: Fewer than two members, names that cannot be layers' names or occur twice, or a
            dropout that makes no sense.

    Example:
        >>> pair = [Member(name, donor.spec, donor.conventions) for name in "ab"]  # doctest: +SKIP
        >>> build_joint(pair, classes=3).output_shape  # doctest: +SKIP
        (None, 3)
    """
    _check(members, member_dropout)
    image = keras.Input((None, None, 3), name="image")
    features, outputs = [], {}
    for member in members:
        scaling = member.conventions.preprocessing
        x = image
        if member.size is not None:
            # Not the layer Resizing: behind one, Keras 3.15 takes `model(x)` for training.
            x = keras.ops.image.resize(x, (member.size, member.size), antialias=True)
        x = layers.Normalization(
            mean=list(scaling.mean),
            variance=[value**2 for value in scaling.std],
            name=f"{member.name}_scale",
        )(x)
        backbone = build_model(member.spec, member.conventions, include_top=False)
        backbone.name = member.name
        pooled = layers.GlobalAveragePooling2D(name=f"{member.name}_pool")(backbone(x))
        if auxiliary:
            outputs[member.name] = _head(classes, f"{member.name}_head", seed)(pooled)
        if member_dropout:
            pooled = layers.Dropout(
                member_dropout, noise_shape=(None, 1), name=f"{member.name}_dropout"
            )(pooled)
        features.append(pooled)
    together = layers.Concatenate(name=FEATURES)(features)
    logits = _head(classes, HEAD, seed)(together)
    return keras.Model(image, {"joint": logits, **outputs} if auxiliary else logits, name="joint")


def _head(classes: int, name: str, seed: int) -> layers.Dense:
    start = keras.initializers.GlorotUniform(seed=seed)
    return layers.Dense(classes, name=name, kernel_initializer=start)


def member_variables(model: keras.Model, member: Member) -> dict[str, Any]:
    """Return a member's variables by canonical tensor name.

    Args:
        model: Of `build_joint`, perhaps loaded from a file.
        member: One of its members.
    """
    return model_variables(model.get_layer(member.name), member.spec, None)


def assign_member(model: keras.Model, member: Member, tensors: Mapping[str, np.ndarray]) -> None:
    """Give a member its weights.

    Args:
        model: Of `build_joint`.
        member: One of its members.
        tensors: By canonical name; a classifier among them is not looked at.
    """
    for name, variable in member_variables(model, member).items():
        variable.assign(tensors[name])


def assign_head(model: keras.Model, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Give the joint head its weights.

    Args:
        model: Of `build_joint`.
        kernel: (feature, class), the members' features in their order.
        bias: (class,).
    """
    head = model.get_layer(HEAD)
    head.kernel.assign(kernel)
    head.bias.assign(bias)


def layer_names(member: str) -> set[str]:
    """Return the names of the layers that a member of a joint network has.

    Args:
        member: Its name.

    Example:
        >>> sorted(layer_names("a"))
        ['a', 'a_dropout', 'a_head', 'a_pool', 'a_scale']
    """
    return {member, *(f"{member}_{part}" for part in ("scale", "pool", "head", "dropout"))}


def _check(members: Sequence[Member], member_dropout: float) -> None:
    names = [member.name for member in members]
    problems = []
    if len(members) < 2:
        problems.append(f"- members: expected two or more, received {len(members)}")
    problems += [
        f"- member {name!r}: occurs {names.count(name)} times"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    for number, name in enumerate(names):
        others = {layer for other in {*names[:number]} - {name} for layer in layer_names(other)}
        if not layer_names(name).isdisjoint(others | OWN_LAYERS):
            problems.append(f"- member {name!r}: another part of the network has this name")
    problems += [
        f"- member {member.name!r}: a size is 8 pixels or more, received {member.size}"
        for member in members
        if member.size is not None and member.size < 8
    ]
    problems += [
        f"- member {name!r}: a name has letters, digits, - and _ only"
        for name in names
        if not name or not name.replace("-", "").replace("_", "").isalnum()
    ]
    if not 0 <= member_dropout < 1:
        problems.append(f"- member_dropout: expected 0 to below 1, received {member_dropout}")
    if problems:
        raise ConfigError(describe_problems("These networks cannot be joined.", problems))
