"""GroupNorm in place of BatchNorm: a network that never looks beyond one image.

BatchNorm takes the statistics of a batch in training, and those of one to four images are mostly
noise. GroupNorm (Wu and He 2018, arXiv:1803.08494) takes them from groups of channels of each
image, in training and ever after.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from efn_compose.arch import (
    BN_ROLES,
    GROUP_CHANNELS,
    STATISTIC_ROLES,
    ArchSpec,
    Operation,
    body,
    decoder_operations,
)
from efn_compose.donors.donor import Donor
from efn_compose.donors.unet import joined_if_known, parted
from efn_compose.errors import ConfigError


def refuse_group_norm(name: str, spec: ArchSpec, doing: str) -> None:
    """Raise an error where an operation needs BatchNorm, and a network has GroupNorm.

    Args:
        name: Of the weights.
        spec: Their network.
        doing: What is being done, such as "absorbing".

    Raises:
        ConfigError: The network has GroupNorm.
    """
    if spec.normalisation == "group":
        raise ConfigError(needs_batch_norm(name, doing))


def needs_batch_norm(name: str, doing: str) -> str:
    """Return what is said of weights with GroupNorm to an operation that needs BatchNorm.

    Args:
        name: Of the weights.
        doing: What is being done, such as "absorbing".
    """
    return (
        f"{name} has GroupNorm, and {doing} needs BatchNorm: its statistics can be folded and "
        "exchanged, those of an image cannot. Take the weights from before the training with "
        "train.normalisation, or train, evaluate and predict with these."
    )


def with_group_norm(donor: Donor, fixed: Collection[str] = ()) -> Donor:
    """Return a donor with GroupNorm, close to the function that it has with BatchNorm.

    Each channel is first brought to variance 1 by the stored statistics, so that all channels of a
    group count alike. Gamma and beta then make up for what the group's mean and variance would
    be. On an image whose own statistics are the stored ones, the function stays the same.

    Args:
        donor: Any donor; one with GroupNorm is returned as it is.
        fixed: Convolutions whose kernel stays, by layer. Gamma makes up for their length.

    Raises:
        ConfigError: The channels of a layer do not make whole groups.

    Example:
        >>> with_group_norm(load_donor("lite0.h5")).spec.normalisation  # doctest: +SKIP
        'group'
    """
    if donor.spec.normalisation == "group":
        return donor
    whole = joined_if_known(donor)
    spec = dataclasses.replace(whole.spec, normalisation="group")
    operations = {op.name: op for op in (*body(spec), *decoder_operations(spec))}
    tensors = dict(whole.tensors)
    for operation in operations.values():
        if operation.kind == "group_norm":
            before = list(_convolutions(operations, operation.reads[0]))
            stays = any(conv.name in fixed for conv in before)
            tensors |= _grouped(
                tensors, operation.name, before, stays, whole.conventions.bn_epsilon
            )
    statistics = {f"{op.name}/{role}" for op in operations.values() for role in STATISTIC_ROLES}
    kept = {name: values for name, values in tensors.items() if name not in statistics}
    # All of these stand in the tables of the joined network; parts that are none of them stay.
    return parted(whole.replace(spec=spec, tensors=kept))


def _convolutions(operations: Mapping[str, Operation], name: str) -> Iterator[Operation]:
    """Yield the convolutions whose sum an operation puts out."""
    operation = operations[name]
    if operation.kind == "add":
        for read in operation.reads:
            yield from _convolutions(operations, read)
    else:
        yield operation


def _grouped(
    tensors: Mapping[str, np.ndarray],
    norm: str,
    convolutions: list[Operation],
    stays: bool,
    epsilon: float,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the new tensors of a normalisation and of the convolutions before it."""
    gamma, beta, mean, variance = (
        tensors[f"{norm}/{role}"].astype(np.float64) for role in BN_ROLES
    )
    deviation = np.sqrt(variance + epsilon)
    scale = np.ones_like(deviation) if stays else 1 / deviation
    for conv in convolutions if not stays else ():
        role = "depthwise_kernel" if conv.kind == "depthwise" else "kernel"
        kernel = tensors[f"{conv.name}/{role}"]
        by_filter = scale[:, None] if conv.kind == "depthwise" else scale
        yield f"{conv.name}/{role}", (kernel * by_filter).astype(kernel.dtype)
    centre, spread = mean * scale, variance * scale**2
    group_mean = _of_groups(centre)
    group_variance = _of_groups(spread + centre**2) - group_mean**2
    slope = gamma / (deviation * scale)
    new = {
        "gamma": slope * np.sqrt(np.maximum(group_variance, 0) + epsilon),
        "beta": beta + slope * (group_mean - centre),
    }
    for role, values in new.items():
        name = f"{norm}/{role}"
        yield name, values.astype(tensors[name].dtype)


def _of_groups(values: np.ndarray) -> np.ndarray:
    """Return for each channel the mean over its group."""
    return np.repeat(values.reshape(-1, GROUP_CHANNELS).mean(axis=1), GROUP_CHANNELS)
