"""The tensors of a network: names, shapes, roles, and the channel group of each axis.

The table is read off the walk (`walk.py`). Aligning, composing, nesting, shrinking
and validating are short functions over it.

Axis uses:
  "out"      the axis produces the channels of its group (kernel output),
  "in"       the axis reads the channels of its group (kernel input),
  "channel"  one value or filter per channel (BatchNorm, bias, depthwise),
  "fixed"    no group: kernel positions, RGB, classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from efn_compose.arch.decoder import decoder_operations
from efn_compose.arch.specs import ArchSpec
from efn_compose.arch.walk import Operation, walk

AxisUse = Literal["out", "in", "channel", "fixed"]
Role = Literal[
    "kernel", "depthwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"
]

BN_ROLES: tuple[Role, ...] = ("gamma", "beta", "moving_mean", "moving_variance")
STATISTIC_ROLES: tuple[Role, ...] = ("moving_mean", "moving_variance")


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor: its channel group (None where it has none) and use."""

    group: str | None
    use: AxisUse


_FIXED = Axis(None, "fixed")


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of the network.

    Kernels are (height, width, in, out), depthwise kernels (height, width,
    channel, 1), the classifier (in, classes), everything else (channel,).

    Example:
        >>> from efn_compose.arch import arch_spec, inventory
        >>> inventory(arch_spec("b0"), classes=1000)[0].name
        'stem_conv/kernel'
    """

    layer: str
    role: Role
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]

    @property
    def name(self) -> str:
        """Canonical name: layer and role."""
        return f"{self.layer}/{self.role}"

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def is_trainable(self) -> bool:
        """Whether an optimizer changes the tensor (BatchNorm statistics it does not)."""
        return self.role not in STATISTIC_ROLES


def _tensors(operation: Operation) -> Iterator[TensorSpec]:
    """Yield the tensors of one operation."""
    layer, kernel = operation.name, operation.kernel
    channels_in, channels_out = operation.in_channels, operation.out_channels
    reads = Axis(operation.group_in, "in") if operation.group_in else _FIXED
    makes = Axis(operation.group_out, "out") if operation.group_out else _FIXED
    each = Axis(operation.group_out, "channel") if operation.group_out else _FIXED
    if operation.kind in ("conv", "output"):
        shape = (kernel, kernel, channels_in, channels_out)
        yield TensorSpec(layer, "kernel", shape, (_FIXED, _FIXED, reads, makes))
    elif operation.kind == "depthwise":
        shape = (kernel, kernel, channels_out, 1)
        yield TensorSpec(layer, "depthwise_kernel", shape, (_FIXED, _FIXED, each, _FIXED))
    elif operation.kind in ("norm", "group_norm"):
        for role in BN_ROLES if operation.kind == "norm" else BN_ROLES[:2]:
            yield TensorSpec(layer, role, (channels_out,), (each,))
    elif operation.kind == "dense":
        yield TensorSpec(layer, "kernel", (channels_in, channels_out), (reads, makes))
    if operation.has_bias:
        yield TensorSpec(layer, "bias", (channels_out,), (each,))


@lru_cache(maxsize=64)
def inventory(spec: ArchSpec, classes: int | None = None) -> tuple[TensorSpec, ...]:
    """Return every tensor of a network, in network order; those of its decoder last.

    Args:
        spec: The network.
        classes: Width of the classifier; None leaves it out.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> len(inventory(arch_spec("b0"), classes=1000))
        311
    """
    operations = (*walk(spec, classes), *decoder_operations(spec))
    return tuple(tensor for operation in operations for tensor in _tensors(operation))


def parameter_count(spec: ArchSpec, classes: int | None = None) -> int:
    """Return the number of trainable parameters.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> parameter_count(arch_spec("l3"), classes=1000)
        1501041134
    """
    return sum(tensor.size for tensor in inventory(spec, classes) if tensor.is_trainable)
