"""Shared parts of the PyTorch dialects: from a source's module names to name table and network.

A dialect lists its modules outside the blocks and says how it calls the parts of a block;
layouts follow from a tensor's role, the network from the shapes behind the names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from efn_compose.arch import HEAD_LAYER, ArchSpec, TensorSpec, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import PartName, block_layers, read_block
from efn_compose.checkpoints.dialects.dialect import IgnoreRule, Request, Row
from efn_compose.checkpoints.dialects.layouts import LAYOUTS
from efn_compose.checkpoints.dialects.spec_reading import BlockShape, spec_from_stages, split_stages

#: Counters that BatchNorm keeps and inference never reads.
TORCH_IGNORE = (
    IgnoreRule(r"(.*\.)?num_batches_tracked", "BatchNorm's step counter, unused in inference"),
)

#: A tensor's name in its module, by role.
_ROLES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclass(frozen=True)
class TorchNames:
    """The module names of a source's networks.

    Args:
        ends: Modules outside the blocks by canonical layer (stem, top, classifier); "{last}"
            stands for the number of stages plus one.
        part_name: Module of a part of a block.
        has_stages: Whether blocks are numbered by stage; otherwise through the network, and
            stages are told apart by their shapes.
        first_blocks_skip: Whether the first block of a stage adds its input too where widths
            and stride allow it.
        stem_stride: Stride of the stem.
    """

    ends: Mapping[str, str]
    part_name: PartName
    has_stages: bool = True
    first_blocks_skip: bool = True
    stem_stride: int = 2

    def rows(
        self, spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None
    ) -> Iterator[Row]:
        """Yield the name table of a network, in network order."""
        modules = {**self._ends(spec.stage_count), **block_layers(spec, self.part_name)}
        for tensor in inventory(spec, classes):
            if tensor.layer in modules:
                foreign = f"{modules[tensor.layer]}.{_ROLES[tensor.role]}"
                yield Row(foreign, tensor.name, _layout(tensor, raw, foreign))

    def spec_from(self, raw: RawCheckpoint, request: Request) -> ArchSpec:
        """Return the network, every width read from the tensors.

        Raises:
            AmbiguousCheckpointError: The stages cannot be told apart, or are of no known number.
            ConfigError: Widths do not chain.
        """
        stages = self._stages(raw)
        if not self.has_stages:
            stages = split_stages(stages[0], request, str(raw.path))
        ends = self._ends(len(stages))
        return spec_from_stages(
            _output_channels(raw, ends["stem_conv"]),
            stages,
            _output_channels(raw, ends["top_conv"]) if "top_conv" in ends else 0,
            stem_stride=self.stem_stride,
            where=str(raw.path),
            first_blocks_skip=self.first_blocks_skip,
        )

    def _ends(self, stage_count: int) -> dict[str, str]:
        return {layer: name.format(last=stage_count + 1) for layer, name in self.ends.items()}

    def _stages(self, raw: RawCheckpoint) -> list[list[BlockShape]]:
        """Return the blocks by stage, all in one where blocks are numbered through."""
        stages: list[list[BlockShape]] = [[]]
        index = 0
        while True:
            where = (index, len(stages), len(stages[-1]) + 1)
            block = read_block(where, self.part_name, lambda *layer: _kernel(raw, *layer))
            if block is not None:
                stages[-1].append(block)
                index += 1
            elif self.has_stages and stages[-1]:
                stages.append([])
            else:
                return stages[:-1] if self.has_stages else stages


def _layout(tensor: TensorSpec, raw: RawCheckpoint | None, foreign: str) -> str:
    if tensor.role == "depthwise_kernel":
        return "torch_depthwise"
    if tensor.role != "kernel":
        return "identity"
    if tensor.layer == HEAD_LAYER:
        return "torch_dense"
    stored = None if raw is None else shape_of(raw, foreign)
    # Some sources store squeeze-and-excite as dense layers.
    return "torch_dense_as_conv" if stored is not None and len(stored) == 2 else "torch_conv"


def _kernel(raw: RawCheckpoint, module: str, part: str) -> tuple[int, ...] | None:
    """Return the canonical shape of a convolution's kernel; None for other parts."""
    shape = shape_of(raw, f"{module}.weight")
    if shape is None:
        return None
    if part == "depthwise_conv":
        is_depthwise = len(shape) == 4 and shape[1] == 1
        return LAYOUTS["torch_depthwise"].canonical_shape(shape) if is_depthwise else None
    layout = "torch_dense_as_conv" if len(shape) == 2 else "torch_conv"
    return LAYOUTS[layout].canonical_shape(shape)


def _output_channels(raw: RawCheckpoint, module: str) -> int:
    shape = shape_of(raw, f"{module}.weight")
    return shape[0] if shape else 0


def shape_of(raw: RawCheckpoint, name: str) -> tuple[int, ...] | None:
    """Return the shape of a tensor, or None where there is none of that name."""
    tensor = raw.tensors.get(name)
    return None if tensor is None else tensor.shape
