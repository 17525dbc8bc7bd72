"""Change the basis of one channel group in a network's tensors, its function unchanged."""

from collections.abc import Mapping

import numpy as np

from efn_compose.arch import ArchSpec, ChannelGroup, block_groups
from efn_compose.arch.layer_names import block_of, is_part, layer_of
from efn_compose.donors.alignment.activations import PairMoments
from efn_compose.donors.alignment.stream_maps import StreamMap

Tensors = dict[str, np.ndarray]


def permute_group(tensors: Tensors, group: ChannelGroup, permutation: np.ndarray) -> None:
    """Reorder the channels of a group in every tensor that carries it.

    Args:
        tensors: Arrays by canonical name; entries are replaced, arrays are not changed.
        group: The group.
        permutation: (channel,); place c gets the old channel `permutation[c]`.

    Example:
        >>> permute_group(tensors, channel_groups(spec)["top"], order)  # doctest: +SKIP
    """
    for member in group.members:
        name = member.tensor.name
        if name in tensors:
            tensors[name] = np.take(tensors[name], permutation, member.axis)


def map_stream(
    tensors: Tensors,
    spec: ArchSpec,
    group: ChannelGroup,
    stream: StreamMap,
    additions: Mapping[str, PairMoments],
    bn_epsilon: float,
) -> None:
    """Carry a residual stream into another basis: fold the map into the convolutions around it.

    Producers (project convolution and BatchNorm of every block that writes to the
    stream) get the forward map, readers the backward map. A map mixes channels
    after a BatchNorm, so the old scale moves into the kernel and the BatchNorm
    gets the statistics of its new input: exact in inference for every invertible
    map, and sane in training.

    Args:
        tensors: Arrays by canonical name; entries are replaced, arrays are not changed.
        spec: The network.
        group: A stream that is linear, or one that `stream.permutation` fits.
        stream: The map.
        additions: By block, moments of the project BatchNorm's output, old basis.
        bn_epsilon: Epsilon of all BatchNorms.
    """
    of_block = block_groups(spec)
    offset = stream.offset if _takes_offset(tensors, group) else np.zeros_like(stream.offset)
    for member in group.members:
        layer, name = member.tensor.layer, member.tensor.name
        if name not in tensors or is_part(layer, "project_bn"):
            continue
        block = block_of(layer)
        is_inside = block in of_block and of_block[block][1] == group.name
        if member.use == "out" and is_part(layer, "project_conv"):
            _map_producer(tensors, block, stream, additions[block], bn_epsilon)
            if of_block[block][0] != group.name:
                beta_name = f"{layer_of(block, 'project_bn')}/beta"
                beta = tensors[beta_name]
                tensors[beta_name] = (beta + offset).astype(beta.dtype)
        elif is_inside and member.tensor.role == "depthwise_kernel":
            kernel = np.take(tensors[name], stream.order, member.axis)
            scaled = kernel / stream.scale[:, None]
            tensors[name] = scaled.astype(kernel.dtype)
        elif is_inside:
            # Behind the depthwise BatchNorm and activation only the order is free.
            tensors[name] = np.take(tensors[name], stream.order, member.axis)
        else:
            _map_reader(tensors, name, layer, stream.backward, offset)


def _takes_offset(tensors: Tensors, group: ChannelGroup) -> bool:
    """Return whether all readers are 1x1: zero padding makes a constant visible to others."""
    return all(
        tensors[member.tensor.name].ndim == 2 or tensors[member.tensor.name].shape[0] == 1
        for member in group.members
        if member.use == "in" and member.tensor.name in tensors
    )


def _map_producer(
    tensors: Tensors, block: str, stream: StreamMap, addition: PairMoments, bn_epsilon: float
) -> None:
    """Give a block's project convolution and BatchNorm an output in the new basis."""
    norm = layer_of(block, "project_bn")
    kernel_name = f"{layer_of(block, 'project_conv')}/kernel"
    kernel = tensors[kernel_name]
    variance = tensors[f"{norm}/moving_variance"].astype(np.float64)
    scale = tensors[f"{norm}/gamma"] / np.sqrt(variance + bn_epsilon)
    bias = tensors[f"{norm}/beta"] - tensors[f"{norm}/moving_mean"] * scale
    if not (scale.any() or bias.any()):
        return  # An identity block stays one in every basis, and stays trainable.
    mapped = kernel.astype(np.float64) @ (scale[:, None] * stream.forward)
    # Keep the size of the weights: optimizers and weight decay see no other network.
    old_norm = np.sqrt(np.mean(np.sum(np.square(kernel, dtype=np.float64), axis=(0, 1, 2))))
    norms = np.sqrt(np.sum(mapped**2, axis=(0, 1, 2)))
    gauge = np.divide(old_norm, norms, out=np.ones_like(norms), where=norms > 1e-12 * old_norm)
    new_bias = bias @ stream.forward
    mean = addition.mean(0) @ stream.forward - new_bias
    spread = np.einsum(
        "dr,de,er->r", stream.forward, addition.covariance(0), stream.forward, optimize=True
    )
    new_variance = np.maximum(spread, 0) * gauge**2
    new = {
        kernel_name: mapped * gauge,
        f"{norm}/moving_mean": mean * gauge,
        f"{norm}/moving_variance": new_variance,
        f"{norm}/gamma": np.sqrt(new_variance + bn_epsilon) / gauge,
        f"{norm}/beta": mean + new_bias,
    }
    tensors.update((name, values.astype(kernel.dtype)) for name, values in new.items())


def _map_reader(
    tensors: Tensors, name: str, layer: str, backward: np.ndarray, offset: np.ndarray
) -> None:
    """Give a convolution (or the classifier) an input in the new basis."""
    kernel = tensors[name]
    mapped = np.einsum("rd,...do->...ro", backward, kernel.astype(np.float64))
    tensors[name] = mapped.astype(kernel.dtype)
    if not offset.any():
        return
    constant = offset @ mapped.reshape(mapped.shape[-2:])
    # The convolution of a decoder's skip is added to another; the BatchNorm is that of both.
    before = layer.removesuffix("conv").removesuffix("skip_")
    shifted, sign = (f"{before}bn/moving_mean", 1)
    if shifted not in tensors:
        shifted, sign = f"{layer}/bias", -1
    values = tensors[shifted]
    tensors[shifted] = (values + sign * constant).astype(values.dtype)
