"""Composing weights: gather every tensor from the donors that a donor map names."""

from collections.abc import Mapping, Sequence

import numpy as np

from efn_compose.arch import ArchSpec, inventory
from efn_compose.arch.layer_names import expanded_of
from efn_compose.compose.averaging import Tensors, average_tensor, shifted_tensor
from efn_compose.compose.gather import Selection
from efn_compose.compose.space import DonorMap, segment_of
from efn_compose.errors import InvalidGenomeError


def compose(
    spec: ArchSpec,
    donors: Sequence[Tensors],
    donor_map: DonorMap,
    *,
    out: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Compose the backbone tensors of a donor map.

    A unit (one expanded channel) moves whole: its expand column, both BatchNorm
    entries, its depthwise kernel, its squeeze-and-excite row and column and its
    project row carry the same axis of the same group, and come from one donor. A
    segment that is a blend is the weighted mean of two donors, in every tensor. One that
    is a mix is the ancestor, moved by shares of its relatives' differences.

    Args:
        spec: The network all donors share.
        donors: Arrays by canonical name, one mapping per donor number.
        donor_map: Host donor per segment, donor per unit where mixed, second donor where
            averaged.
        out: Arrays by canonical name to write mixed tensors to, such as those of an
            earlier call; saves the allocation. Missing ones are allocated.

    Returns:
        Arrays by canonical name, without classifier. Tensors taken whole are the
        donor's own arrays, not copies: treat them as read-only.

    Raises:
        InvalidGenomeError: The map names a donor that does not exist, or both averages a
            segment and chooses units in it.

    Example:
        >>> composed = compose(spec, donors, space.decode(genome))  # doctest: +SKIP
    """
    missing = [number for number in donor_map.donors if number >= len(donors)]
    if missing:
        raise InvalidGenomeError(
            f"The donor map names donors {missing}, but there are only {len(donors)}."
        )
    averaged = (*donor_map.blends, *donor_map.mixes)
    twice = [name for name in averaged if expanded_of(name) in donor_map.units]
    if twice:
        raise InvalidGenomeError(
            f"Segments are averaged or have units of several donors, not both. Received: {twice}."
        )
    selections = {group: Selection(units) for group, units in donor_map.units.items()}
    composed = {}
    for tensor in inventory(spec):
        segment = segment_of(tensor)
        host = donors[donor_map.segments[segment]][tensor.name]
        blend = donor_map.blends.get(segment)
        if blend is not None:
            pair = [donors[donor_map.segments[segment]], donors[blend.donor]]
            composed[tensor.name] = average_tensor(tensor, pair, [1 - blend.share, blend.share])
            continue
        mix = donor_map.mixes.get(segment)
        if mix is not None:
            relatives = [donors[number] for number in mix.shares]
            composed[tensor.name] = shifted_tensor(
                tensor, donors[mix.ancestor], relatives, list(mix.shares.values())
            )
            continue
        for axis_number, axis in enumerate(tensor.axes):
            selection = selections.get(axis.group or "")
            if selection is not None:
                arrays = [donor[tensor.name] for donor in donors]
                host = selection.gather(arrays, axis_number, (out or {}).get(tensor.name))
                break
        composed[tensor.name] = host
    return composed
