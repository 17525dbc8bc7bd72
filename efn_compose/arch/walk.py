"""The walk: a network's operations in order, and how to follow them.

Block wiring is written here and nowhere else. The tensor table, the cost, the Keras
builder, the eager walk and the numpy forward pass each say what one operation means
to them, and leave the order, the names and the skips to `walk` and `follow`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

from efn_compose.arch.layer_names import STEM_BN, STEM_CONV, TOP_BN, TOP_CONV, expanded_of, layer_of
from efn_compose.arch.specs import ArchSpec, BlockSpec
from efn_compose.errors import ConfigError, describe_problems

#: What an operation does:
#:   "conv"        a convolution, (1, 1) on a 1 x 1 map inside squeeze-and-excite,
#:   "depthwise"   a convolution with one filter per channel,
#:   "norm"        BatchNorm,
#:   "group_norm"  GroupNorm in its place, under the same layer name,
#:   "activation"  the function named by `Operation.function`,
#:   "squeeze"     the mean over all positions, height and width kept as 1,
#:   "excite"      the product of a feature map and its gate,
#:   "add"         the sum of a block's addition and the block's input,
#:   "pool"        the mean over all positions,
#:   "dense"       the classifier,
#:   "enlarge"     each position repeated `stride` times, cut to the second input's size,
#:   "output"      the convolution to a decoder's outputs.
OperationKind = Literal[
    "conv", "depthwise", "norm", "group_norm", "activation", "squeeze", "excite", "add", "pool",
    "dense", "enlarge", "output",
]  # fmt: skip
#: Which function an activation is: the one that the conventions name, or one that is always the same.
FunctionName = Literal["network", "sigmoid", "relu"]

#: What the first operation reads.
IMAGE = "image"
#: Layer of the classifier.
HEAD_LAYER = "predictions"
#: Channels of a group of GroupNorm. It divides every width of every family.
GROUP_CHANNELS = 8

Value = TypeVar("Value")


@dataclass(frozen=True)
class Operation:
    """One operation of a network.

    Args:
        kind: What it does.
        name: Its layer where it has tensors, and the name of its output everywhere.
        reads: Names of the operations whose outputs it reads, in order.
        group_in: Channel group that it reads, None for RGB.
        group_out: Channel group that it puts out, None for classes and a decoder's outputs.
        in_channels: Channels that it reads.
        out_channels: Channels that it puts out.
        block: Name of the block it belongs to, "" for stem, top and classifier.
        kernel: Side of a convolution's kernel, in pixels.
        stride: Stride of a convolution; how often "enlarge" repeats a position.
        has_bias: Whether a bias is added.
        function: For "activation": "network" is the function that the conventions
            name, "sigmoid" that of a gate, "relu" that of a classic decoder.
        is_block_output: Whether its output is the block's output.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> [operation.name for operation in walk(arch_spec("lite0"))[:4]]
        ['stem_conv', 'stem_bn', 'stem_activation', 'stage1_block1_depthwise_conv']
    """

    kind: OperationKind
    name: str
    reads: tuple[str, ...]
    group_in: str | None
    group_out: str | None
    in_channels: int
    out_channels: int
    block: str = ""
    kernel: int = 1
    stride: int = 1
    has_bias: bool = False
    function: FunctionName = "network"
    is_block_output: bool = False


class OperationPath:
    """Operations in a row; each reads the output of the one before it."""

    def __init__(self, before: Operation | None, block: str = "") -> None:
        self.block = block
        self.operations: list[Operation] = []
        self.last = before.name if before else IMAGE
        self.group = before.group_out if before else None
        self.channels = before.out_channels if before else 3

    def conv(
        self,
        name: str,
        group: str | None,
        channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        has_bias: bool = False,
    ) -> None:
        self.append(
            Operation(
                kind="conv",
                name=name,
                reads=(self.last,),
                group_in=self.group,
                group_out=group,
                in_channels=self.channels,
                out_channels=channels,
                block=self.block,
                kernel=kernel,
                stride=stride,
                has_bias=has_bias,
            )
        )

    def depthwise(self, name: str, kernel: int, stride: int) -> None:
        here = self._here("depthwise", name)
        self.append(dataclasses.replace(here, kernel=kernel, stride=stride))

    def norm(self, name: str) -> None:
        self.append(self._here("norm", name))

    def act(self, name: str, function: FunctionName = "network") -> None:
        self.append(dataclasses.replace(self._here("activation", name), function=function))

    def enlarge(self, name: str, like: str, times: int) -> None:
        here = self._here("enlarge", name, self.last, like)
        self.append(dataclasses.replace(here, stride=times))

    def output(self, name: str, channels: int, kernel: int) -> None:
        self.conv(name, None, channels, kernel=kernel, has_bias=True)
        self.operations[-1] = dataclasses.replace(self.operations[-1], kind="output")

    def squeeze_excite(self, prefix: str, channels: int) -> None:
        """Append a gate: what is read is multiplied by what a small network makes of its mean."""
        gated, group, gated_channels = self.last, self.group, self.channels
        self.append(self._here("squeeze", f"{prefix}_squeeze"))
        self.conv(f"{prefix}_reduce", prefix, channels, has_bias=True)
        self.act(f"{prefix}_activation")
        self.conv(f"{prefix}_expand", group, gated_channels, has_bias=True)
        self.act(f"{prefix}_gate", "sigmoid")
        self.append(self._here("excite", f"{prefix}_excite", gated, self.last))

    def add(self, name: str, shortcut: str) -> None:
        self.append(self._here("add", name, self.last, shortcut))

    def pool(self, name: str) -> None:
        self.append(self._here("pool", name))

    def dense(self, name: str, classes: int) -> None:
        here = dataclasses.replace(self._here("dense", name), has_bias=True)
        self.append(dataclasses.replace(here, group_out=None, out_channels=classes))

    def _here(self, kind: OperationKind, name: str, *reads: str) -> Operation:
        """Return an operation that keeps group and channels."""
        return Operation(
            kind=kind,
            name=name,
            reads=reads or (self.last,),
            group_in=self.group,
            group_out=self.group,
            in_channels=self.channels,
            out_channels=self.channels,
            block=self.block,
        )

    def append(self, operation: Operation) -> None:
        self.operations.append(operation)
        self.last, self.group = operation.name, operation.group_out
        self.channels = operation.out_channels


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
        mid = expanded_of(block.name) if block.has_expand else group_in
        groups[block.name] = (group_in, mid, stream)
    return groups


def _stem(spec: ArchSpec) -> list[Operation]:
    path = OperationPath(None)
    path.conv(STEM_CONV, "stem", spec.stem_channels, kernel=3, stride=spec.stem_stride)
    path.norm(STEM_BN)
    path.act("stem_activation")
    return path.operations


def _block(block: BlockSpec, before: Operation, mid: str, out: str) -> list[Operation]:
    """Return a block's operations; `before` puts out its input."""
    name, path = block.name, OperationPath(before, block.name)
    if block.has_expand:
        kernel, stride = (block.kernel, block.stride) if block.kind == "fused" else (1, 1)
        path.conv(
            layer_of(name, "expand_conv"), mid, block.mid_channels, kernel=kernel, stride=stride
        )
        path.norm(layer_of(name, "expand_bn"))
        path.act(f"{name}_expand_activation")
    if block.kind == "mbconv":
        path.depthwise(layer_of(name, "depthwise_conv"), block.kernel, block.stride)
        path.norm(layer_of(name, "depthwise_bn"))
        path.act(f"{name}_depthwise_activation")
    if block.se_channels:
        path.squeeze_excite(f"{name}_se", block.se_channels)
    kernel, stride = (block.kernel, block.stride) if block.is_single_conv else (1, 1)
    path.conv(layer_of(name, "project_conv"), out, block.out_channels, kernel=kernel, stride=stride)
    path.norm(layer_of(name, "project_bn"))
    if block.is_single_conv:
        path.act(f"{name}_project_activation")
    if block.has_skip:
        path.add(f"{name}_add", before.name)
    last = dataclasses.replace(path.operations[-1], is_block_output=True)
    return [*path.operations[:-1], last]


@lru_cache(maxsize=64)
def body(spec: ArchSpec) -> tuple[Operation, ...]:
    """Return the operations from the image to the last feature map.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> body(arch_spec("b0"))[-1].name
        'top_activation'
    """
    operations = _stem(spec)
    for block, (_, mid, out) in zip(spec.blocks, block_groups(spec).values(), strict=True):
        operations += _block(block, operations[-1], mid, out)
    if spec.top_channels:
        path = OperationPath(operations[-1])
        path.conv(TOP_CONV, "top", spec.top_channels)
        path.norm(TOP_BN)
        path.act("top_activation")
        operations += path.operations
    return normalised(spec, operations)


def normalised(spec: ArchSpec, operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Return operations with the normalisation that a network has.

    Args:
        spec: The network.
        operations: Some of its operations, as its family has them.

    Raises:
        ConfigError: GroupNorm, and the channels of a layer do not make whole groups.
    """
    if spec.normalisation == "batch":
        return tuple(operations)
    found = tuple(
        dataclasses.replace(operation, kind="group_norm") if operation.kind == "norm" else operation
        for operation in operations
    )
    problems = [
        f"- {operation.name}: {operation.out_channels} channels"
        for operation in found
        if operation.kind == "group_norm" and operation.out_channels % GROUP_CHANNELS
    ]
    if problems:
        raise ConfigError(
            describe_problems(
                f"{spec.variant}: GroupNorm needs groups of {GROUP_CHANNELS} channels.",
                problems,
                f"Take a network whose widths are multiples of {GROUP_CHANNELS}, as all families have.",
            )
        )
    return found


@lru_cache(maxsize=64)
def walk(spec: ArchSpec, classes: int | None = None) -> tuple[Operation, ...]:
    """Return all operations of a network, in order.

    Args:
        spec: The network.
        classes: Width of the classifier; None ends at the pooled features.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> [operation.name for operation in walk(arch_spec("b0"), classes=1000)[-2:]]
        ['pool', 'predictions']
    """
    path = OperationPath(body(spec)[-1])
    path.pool("pool")
    if classes is not None:
        path.dense(HEAD_LAYER, classes)
    return (*body(spec), *path.operations)


def block_operations(spec: ArchSpec, block: str) -> tuple[Operation, ...]:
    """Return the operations of one block, in order.

    Args:
        spec: The network.
        block: The block's name, "stage2_block1".

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> [operation.kind for operation in block_operations(arch_spec("v2-s"), "stage1_block1")]
        ['conv', 'norm', 'activation', 'add']
    """
    return tuple(operation for operation in body(spec) if operation.block == block)


def follow(
    operations: Sequence[Operation],
    value: Value,
    perform: Callable[..., Value],
) -> Value:
    """Perform operations in order and return the last one's output.

    Outputs are dropped as soon as no later operation reads them.

    Args:
        operations: A walk, or a part of one in which nothing reads from outside but the
            first operation, and operations that read what the first one reads.
        value: What the first operation reads.
        perform: Called with an operation and what it reads; returns what it puts out.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> def side(operation, *sides):
        ...     return -(-sides[0] // operation.stride)
        >>> follow(body(arch_spec("b0")), 224, side)
        7
    """
    return follow_from(operations, {operations[0].reads[0]: value}, perform)


def follow_from(
    operations: Sequence[Operation], given: Mapping[str, Value], perform: Callable[..., Value]
) -> Value:
    """Perform operations that read several outputs of earlier ones; return the last one's output.

    Args:
        operations: A part of a walk.
        given: What they read from outside, by name.
        perform: As for `follow`.
    """
    values = dict(given)
    last_reader = {
        name: number for number, operation in enumerate(operations) for name in operation.reads
    }
    for number, operation in enumerate(operations):
        read = [values[name] for name in operation.reads]
        value = perform(operation, *read)
        for name in operation.reads:
            if last_reader[name] == number:
                values.pop(name, None)
        values[operation.name] = value
    return value


def until_block(operations: Iterable[Operation], block: str) -> tuple[Operation, ...]:
    """Return the operations up to a block's output; all of them where there is no such block.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> until_block(walk(arch_spec("b0")), "stage2_block2")[-1].name
        'stage2_block2_add'
    """
    kept: list[Operation] = []
    for operation in operations:
        kept.append(operation)
        if operation.is_block_output and operation.block == block:
            break
    return tuple(kept)
