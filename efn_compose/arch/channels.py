"""The channel-group table: the axes of tensors that carry the same channels."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from efn_compose.arch.decoder import decoder_operations
from efn_compose.arch.inventory import TensorSpec, inventory
from efn_compose.arch.layer_names import is_expanded
from efn_compose.arch.specs import ArchSpec
from efn_compose.arch.walk import body

GroupKind = Literal["stem", "stream", "expanded", "se", "top"]

#: Operations that treat each channel apart in a way that no matrix product can absorb.
#: A BatchNorm can be: its scale and shift fold into the convolution before it.
_PER_CHANNEL = ("activation", "depthwise", "excite")


@dataclass(frozen=True)
class GroupAxis:
    """One axis that carries a group: the tensor and the number of the axis."""

    tensor: TensorSpec
    axis: int

    @property
    def use(self) -> str:
        """How the axis uses the group: "out", "in" or "channel"."""
        return self.tensor.axes[self.axis].use


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that must be permuted, chosen, added or removed together.

    Args:
        name: "stem", "stage3", "stage3_block2_expanded", "stage3_block2_se", "top".
        kind: What the channels are.
        size: Number of channels.
        is_linear: Whether no activation and no per-channel filter touches the
            channels, so that any invertible matrix (not only a permutation) is a
            symmetry. True for residual streams, except where stage 1 feeds a
            depthwise convolution or is itself activated.
        members: Every axis that carries the group, in network order.
    """

    name: str
    kind: GroupKind
    size: int
    is_linear: bool
    members: tuple[GroupAxis, ...]


def _kind(name: str) -> GroupKind:
    if name == "stem":
        return "stem"
    if name == "top":
        return "top"
    if is_expanded(name):
        return "expanded"
    return "se" if name.endswith("_se") else "stream"


@lru_cache(maxsize=64)
def channel_groups(spec: ArchSpec, classes: int | None = None) -> dict[str, ChannelGroup]:
    """Return the channel groups of a network by name, in network order.

    Args:
        spec: The network.
        classes: Width of the classifier; None leaves it out of the table.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> groups = channel_groups(arch_spec("b0"))
        >>> len(groups), groups["stage2"].size, groups["stage2"].is_linear
        (40, 24, True)
    """
    members: dict[str, list[GroupAxis]] = {}
    for tensor in inventory(spec, classes):
        for number, axis in enumerate(tensor.axes):
            if axis.group is not None:
                members.setdefault(axis.group, []).append(GroupAxis(tensor, number))
    operations = (*body(spec), *decoder_operations(spec))
    bent = {operation.group_out for operation in operations if operation.kind in _PER_CHANNEL}
    return {
        name: ChannelGroup(
            name=name,
            kind=_kind(name),
            size=axes[0].tensor.shape[axes[0].axis],
            is_linear=_kind(name) == "stream" and name not in bent,
            members=tuple(axes),
        )
        for name, axes in members.items()
    }
