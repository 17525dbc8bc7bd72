"""Donors joined into one trainable network, taken apart again, or under a classifier in closed form."""

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.arch import HEAD_LAYER, ArchSpec
from efn_compose.assess.metrics import log_softmax
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, DataError
from efn_compose.jobs.ensembles.joint_file import read_joint, write_joint
from efn_compose.nesting.heads import fit_ridge

if TYPE_CHECKING:
    import keras

    from efn_compose.models.ensemble import Member


@dataclass(frozen=True, eq=False)
class JointNetwork:
    """Donors side by side.

    Args:
        model: Plain Keras, from raw images to logits.
        members: The networks, in the order of their features.
        donors: Where each member's weights came from.
    """

    model: "keras.Model"
    members: tuple["Member", ...]
    donors: tuple[Donor, ...]

    def detach(self, name: str) -> Donor:
        """Return a member's present weights, with its auxiliary head as the classifier where it has one.

        Args:
            name: Of the member.

        Raises:
            ConfigError: There is no such member.
        """
        names = [member.name for member in self.members]
        if name not in names:
            raise ConfigError(f"no member {name!r}; allowed: {', '.join(names)}.")
        place = names.index(name)
        return self.donors[place].replace(tensors=_present(self.model, self.members[place]))

    def as_one(self, target: ArchSpec | str) -> Donor:
        """Return all members side by side within one network, with equal logits.

        A donor can be saved, composed and exported to other libraries; a joint network only to Keras.

        Args:
            target: A network in which the members fit side by side, such as "b7" for two B0.

        Raises:
            ConfigError: Members want images of different sizes.
            NestingError: They do not fit; every group is listed.
            IncompatibleDonorsError: They differ in conventions; harmonise them before joining.

        Example:
            >>> join([first_b0, second_b0], classes=9).as_one("b7").save("one.h5")  # doctest: +SKIP
        """
        from efn_compose.models.ensemble import HEAD
        from efn_compose.nesting import direct_sum

        if len({member.size for member in self.members}) > 1:
            raise ConfigError("members want images of different sizes; one network has one size.")
        head = self.model.get_layer(HEAD)
        kernel, bias = np.array(head.kernel.numpy()), np.array(head.bias.numpy())
        donors, count, start = [], len(self.members), 0
        for member in self.members:
            body = self.detach(member.name).without_head()
            end = start + member.spec.feature_channels
            # A direct sum takes the mean of the donors' logits.
            own = {f"{HEAD_LAYER}/kernel": count * kernel[start:end], f"{HEAD_LAYER}/bias": bias}
            donors.append(body.replace(tensors={**body.tensors, **own}))
            start = end
        return direct_sum(*donors, target)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network as a file that plain Keras loads, too.

        Args:
            path: Ends in `.keras`.
        """
        write_joint(path, self.model, self.members, self.donors)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the members' pooled features side by side, float32 (image, feature).

        Args:
            images: RGB (image, height, width, 3), values 0-255.
        """
        import keras

        from efn_compose.models.ensemble import FEATURES
        from efn_compose.models.memory import inference_batch

        body = keras.Model(self.model.input, self.model.get_layer(FEATURES).output)
        side = int(images.shape[1])
        batch = min(inference_batch(b.spec, b.size or side) for b in self.members)
        parts = [
            np.asarray(body.predict_on_batch(images[start : start + batch].astype(np.float32)))
            for start in range(0, len(images), batch)
        ]
        return np.concatenate(parts)


def join(
    donors: Sequence[Donor],
    classes: int | None = None,
    *,
    sizes: Sequence[int | None] | None = None,
    member_dropout: float = 0.2,
    auxiliary: bool = False,
    seed: int = 1,
) -> JointNetwork:
    """Join donors into one trainable network.

    Where all donors have a classifier of the wanted width, the joint head begins as their classifiers
    stacked: its logits are the sum of theirs. Otherwise it is drawn by Keras.

    Args:
        donors: Two or more, of any networks and conventions.
        classes: Width of the head; default that of the donors' classifiers.
        sizes: Pixels that each member wants; None, or None for one: images as they come.
        member_dropout: Probability that an image does without a member, in training.
        auxiliary: Give each member a head of its own as well, which begins as its classifier.
        seed: Of the heads' first weights, where they begin as no classifier.

    Raises:
        ConfigError: Fewer than two donors, no width, or as many sizes as there are no donors.

    Example:
        >>> joint = join([load_donor("a.h5"), load_donor("b.h5")], classes=9)  # doctest: +SKIP
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # doctest: +SKIP
        >>> joint.model.compile("adam", loss)  # doctest: +SKIP
    """
    from efn_compose.models.ensemble import Member, build_joint

    widths = {donor.classes for donor in donors}
    if classes is not None and classes < 1:
        raise ConfigError(f"classes: allowed 1 or more. Received: {classes}.")
    width = classes or (next(iter(widths)) if len(widths) == 1 else None)
    if width is None:
        raise ConfigError(f"give classes=N: the donors' classifiers have widths {widths}.")
    wanted = [None] * len(donors) if sizes is None else list(sizes)
    if len(wanted) != len(donors):
        raise ConfigError(f"sizes: expected {len(donors)}, one per donor. Received: {len(wanted)}.")
    for donor in donors:
        donor.refuse_parts("joining networks")
    members = tuple(
        Member(name, donor.spec, donor.conventions, size)
        for name, donor, size in zip(_names(donors), donors, wanted, strict=True)
    )
    model = build_joint(
        members, width, member_dropout=member_dropout, auxiliary=auxiliary, seed=seed
    )
    start_at(model, members, donors)
    return JointNetwork(model, members, tuple(donors))


def start_at(model: "keras.Model", members: Sequence["Member"], donors: Sequence[Donor]) -> None:
    """Give a joint network the weights of donors, and the sum of their classifiers as its head.

    The head is left as it is unless all donors have a classifier of its width; a member's auxiliary head
    unless the donor has one.

    Args:
        model: Of `join`.
        members: Its members.
        donors: One per member, of its network and conventions.
    """
    from efn_compose.models.ensemble import HEAD, assign_head, assign_member

    width, names = int(model.get_layer(HEAD).units), {layer.name for layer in model.layers}
    for member, donor in zip(members, donors, strict=True):
        assign_member(model, member, donor.tensors)
        if f"{member.name}_head" in names and donor.classes == width:
            head = model.get_layer(f"{member.name}_head")
            head.kernel.assign(donor.tensors[f"{HEAD_LAYER}/kernel"])
            head.bias.assign(donor.tensors[f"{HEAD_LAYER}/bias"])
    if all(donor.classes == width for donor in donors):
        kernels, biases = (
            [donor.tensors[f"{HEAD_LAYER}/{role}"] for donor in donors]
            for role in ("kernel", "bias")
        )
        assign_head(model, np.concatenate(kernels), np.sum(biases, axis=0))


def load_joint(path: str | os.PathLike[str]) -> JointNetwork:
    """Read a joint network that `JointNetwork.save` wrote.

    Raises:
        WeightFileError: No such file, or another one.

    Example:
        >>> load_joint("joint.keras").detach("b2").save("b2.h5")  # doctest: +SKIP
    """
    model, members, headers, names = read_joint(path)
    donors = tuple(
        Donor(name, header.spec, header.conventions, _present(model, member), header.provenance)
        for member, header, name in zip(members, headers, names, strict=True)
    )
    return JointNetwork(model, members, donors)


def _present(model: "keras.Model", member: "Member") -> dict[str, np.ndarray]:
    """Return a member's weights, its auxiliary head among them where it has one."""
    from efn_compose.models.ensemble import member_variables

    variables = member_variables(model, member)
    tensors = {key: np.array(variable.numpy()) for key, variable in variables.items()}
    if f"{member.name}_head" in {layer.name for layer in model.layers}:
        head = model.get_layer(f"{member.name}_head")
        tensors[f"{HEAD_LAYER}/kernel"] = np.array(head.kernel.numpy())
        tensors[f"{HEAD_LAYER}/bias"] = np.array(head.bias.numpy())
    return tensors


@dataclass(frozen=True, eq=False)
class MetaEnsemble:
    """Frozen bodies under one classifier that was fitted in closed form.

    Args:
        joint: The network; its head is the classifier.
        probability: (image, class) float32 of each image by a classifier that did not see its fold.
        kernel: (feature, class) float64.
        bias: (class,) float64.
    """

    joint: JointNetwork
    probability: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray


def meta_ensemble(
    donors: Sequence[Donor],
    images: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    *,
    classes: int | None = None,
    sizes: Sequence[int | None] | None = None,
) -> MetaEnsemble:
    """Fit one classifier to the features of several networks side by side; nothing is trained.

    Features are standardised, and the strength of the ridge is chosen by leave-one-out. **Take images
    that none of the networks was trained on**: a network knows its training images by heart, and its
    features of these say nothing of new ones.

    Args:
        donors: Two or more; their classifiers are not used.
        images: RGB (image, height, width, 3), values 0-255.
        labels: (image,) class numbers.
        fold: (image,) fold numbers, for `probability`.
        classes: Default the largest label plus one.
        sizes: As for `join`.

    Raises:
        DataError: Lengths differ, or there is one fold only.

    Example:
        >>> found = meta_ensemble([first, second], images, labels, fold)  # doctest: +SKIP
        >>> found.joint.model.save("meta.keras")  # doctest: +SKIP
    """
    from efn_compose.models.ensemble import assign_head

    labels, fold = np.asarray(labels), np.asarray(fold)
    if not len(images) == len(labels) == len(fold) or len(np.unique(fold)) < 2:
        raise DataError(
            "needed: a label and a fold for each image, and two folds or more. Received: "
            f"{len(images)} images, {len(labels)} labels, {len(np.unique(fold))} folds."
        )
    width = classes or int(labels.max()) + 1
    joint = join([donor.without_head() for donor in donors], width, sizes=sizes)
    features, targets = joint.features(images).astype(np.float64), np.eye(width)[labels]
    logits = np.zeros((len(images), width))
    for number in np.unique(fold):
        inside = fold != number
        kernel, bias = fit_ridge(features[inside], targets[inside])
        logits[~inside] = features[~inside] @ kernel + bias
    kernel, bias = fit_ridge(features, targets)
    assign_head(joint.model, kernel, bias)
    return MetaEnsemble(joint, np.exp(log_softmax(logits)).astype(np.float32), kernel, bias)


def _names(donors: Sequence[Donor]) -> list[str]:
    """Return a layer's name for each donor, made of its own."""
    from efn_compose.models.ensemble import OWN_LAYERS, layer_names

    names: list[str] = []
    taken = set(OWN_LAYERS)
    for donor in donors:
        base = re.sub(r"[^A-Za-z0-9_-]", "_", donor.name) or "network"
        numbered = itertools.chain([base], (f"{base}_{n}" for n in itertools.count(2)))
        name = next(name for name in numbered if taken.isdisjoint(layer_names(name)))
        taken |= layer_names(name)
        names.append(name)
    return names
