"""The tensors of a network: names, shapes, roles, and the channel group of each axis.

This is the one table that knows how an EfficientNet is wired. Aligning,
composing, nesting, shrinking and validating are short functions over it.

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

from efn_compose.arch.specs import ArchSpec, BlockSpec

AxisUse = Literal["out", "in", "channel", "fixed"]
Role = Literal[
    "kernel", "depthwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"
]

BN_ROLES: tuple[Role, ...] = ("gamma", "beta", "moving_mean", "moving_variance")
STATISTIC_ROLES: tuple[Role, ...] = ("moving_mean", "moving_variance")
HEAD_LAYER = "predictions"


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

    def axis_of(self, group: str, use: AxisUse | None = None) -> int | None:
        """Return the number of the first axis in a group (with a use), or None."""
        for number, axis in enumerate(self.axes):
            if axis.group == group and (use is None or axis.use == use):
                return number
        return None


def _conv(
    layer: str, kernel: int, size_in: int, size_out: int, group_in: str | None, group_out: str
):
    axis_in = Axis(group_in, "in") if group_in else _FIXED
    shape = (kernel, kernel, size_in, size_out)
    return TensorSpec(layer, "kernel", shape, (_FIXED, _FIXED, axis_in, Axis(group_out, "out")))


def _batch_norm(layer: str, size: int, group: str) -> Iterator[TensorSpec]:
    for role in BN_ROLES:
        yield TensorSpec(layer, role, (size,), (Axis(group, "channel"),))


def _bias(layer: str, size: int, group: str) -> TensorSpec:
    return TensorSpec(layer, "bias", (size,), (Axis(group, "channel"),))


def block_groups(spec: ArchSpec) -> dict[str, tuple[str, str, str]]:
    """Return for each block name the groups of its input, expanded and output channels.

    A skip forces input and output into one group, so all repeats of a stage
    share its stream; where the first block has a skip too (V2-S to XL, stage 1)
    the stem itself is that stream. Without expansion the expanded channels are
    the input channels.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> block_groups(arch_spec("b0"))["stage2_block1"]
        ('stage1', 'stage2_block1_expanded', 'stage2')
    """
    groups = {}
    stream, taken = "stem", {"stem"}
    for block in spec.blocks:
        group_in = stream
        if not block.has_skip:
            stream = f"stage{block.stage}"
            if stream in taken:
                stream = block.name
            taken.add(stream)
        mid = f"{block.name}_expanded" if block.has_expand else group_in
        groups[block.name] = (group_in, mid, stream)
    return groups


def _block_tensors(block: BlockSpec, group_in: str, mid: str, out: str) -> Iterator[TensorSpec]:
    """Yield a block's tensors in network order."""
    name, kernel = block.name, block.kernel
    expand_kernel = kernel if block.kind == "fused" else 1
    if block.has_expand:
        yield _conv(
            f"{name}_expand_conv",
            expand_kernel,
            block.in_channels,
            block.mid_channels,
            group_in,
            mid,
        )
        yield from _batch_norm(f"{name}_expand_bn", block.mid_channels, mid)
    if block.kind == "mbconv":
        shape = (kernel, kernel, block.mid_channels, 1)
        axes = (_FIXED, _FIXED, Axis(mid, "channel"), _FIXED)
        yield TensorSpec(f"{name}_depthwise_conv", "depthwise_kernel", shape, axes)
        yield from _batch_norm(f"{name}_depthwise_bn", block.mid_channels, mid)
    if block.se_channels:
        hidden = f"{name}_se"
        yield _conv(f"{name}_se_reduce", 1, block.mid_channels, block.se_channels, mid, hidden)
        yield _bias(f"{name}_se_reduce", block.se_channels, hidden)
        yield _conv(f"{name}_se_expand", 1, block.se_channels, block.mid_channels, hidden, mid)
        yield _bias(f"{name}_se_expand", block.mid_channels, mid)
    project_kernel = kernel if block.is_single_conv else 1
    yield _conv(
        f"{name}_project_conv", project_kernel, block.mid_channels, block.out_channels, mid, out
    )
    yield from _batch_norm(f"{name}_project_bn", block.out_channels, out)


@lru_cache(maxsize=64)
def inventory(spec: ArchSpec, classes: int | None = None) -> tuple[TensorSpec, ...]:
    """Return every tensor of a network, in network order.

    Args:
        spec: The network.
        classes: Width of the classifier; None leaves it out.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> len(inventory(arch_spec("b0"), classes=1000))
        311
    """
    if classes is None:
        return _headless(spec)
    last = block_groups(spec)[spec.blocks[-1].name][2] if not spec.top_channels else "top"
    shape = (spec.feature_channels, classes)
    return (
        *_headless(spec),
        TensorSpec(HEAD_LAYER, "kernel", shape, (Axis(last, "in"), _FIXED)),
        TensorSpec(HEAD_LAYER, "bias", (classes,), (_FIXED,)),
    )


@lru_cache(maxsize=64)
def _headless(spec: ArchSpec) -> tuple[TensorSpec, ...]:
    tensors = [_conv("stem_conv", 3, 3, spec.stem_channels, None, "stem")]
    tensors += _batch_norm("stem_bn", spec.stem_channels, "stem")
    last = "stem"
    groups = block_groups(spec)
    for block in spec.blocks:
        tensors += _block_tensors(block, *groups[block.name])
        last = groups[block.name][2]
    if spec.top_channels:
        stream_channels = spec.blocks[-1].out_channels
        tensors.append(_conv("top_conv", 1, stream_channels, spec.top_channels, last, "top"))
        tensors += _batch_norm("top_bn", spec.top_channels, "top")
    return tuple(tensors)


def parameter_count(spec: ArchSpec, classes: int | None = None) -> int:
    """Return the number of trainable parameters.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> parameter_count(arch_spec("l3"), classes=1000)
        1501041134
    """
    return sum(tensor.size for tensor in inventory(spec, classes) if tensor.is_trainable)
