"""A decoder as operations: from a network's coarsest feature point back to the image's size.

A convolution of a concatenation is the sum of two convolutions. So a step reads what lies below
it and its skip by a kernel each, and a skip is one more reader of a residual stream in the table of
channel groups. Whatever changes a stream carries the decoder along.

Widths, kernels, expansion and gates of a mirror are those of the encoder's stage at the same
size. It ends with a convolution as wide as the stem, since whole blocks at full size would cost
more than all others.
"""

from functools import lru_cache

from efn_compose.arch.feature_points import FeaturePoint, feature_points
from efn_compose.arch.layer_names import expanded_of
from efn_compose.arch.specs import ArchSpec, BlockSpec
from efn_compose.arch.walk import IMAGE, FunctionName, Operation, OperationPath, body, normalised

#: Channels of a classic decoder's steps, from coarse to fine.
CLASSIC_WIDTHS = (256, 128, 64, 32, 16)
#: Layer that puts out what the decoder is for.
OUTPUT_LAYER = "decoder_output"
_OUTPUT_KERNEL = 3


@lru_cache(maxsize=64)
def decoder_operations(spec: ArchSpec) -> tuple[Operation, ...]:
    """Return the operations of a network's decoder, which read outputs of the network's own.

    Args:
        spec: The network; without a decoder there are none.

    Example:
        >>> from efn_compose.arch import DecoderSpec, arch_spec
        >>> spec = arch_spec("b0").with_decoder(DecoderSpec("mirror"))
        >>> [operation.name for operation in decoder_operations(spec)[:3]]
        ['decoder_step1_enlarge', 'decoder_step1_expand_conv', 'decoder_step1_expand_skip_conv']
    """
    if spec.decoder is None:
        return ()
    *finer, bottom = feature_points(spec)
    path = OperationPath(next(op for op in body(spec) if op.name == bottom.layer))
    stride, number = bottom.stride, 0
    for number, point in enumerate(reversed(finer), start=1):
        name = f"decoder_step{number}"
        path.enlarge(f"{name}_enlarge", point.layer, stride // point.stride)
        _step(path, name, number, spec, point, point if spec.decoder.skips else None)
        stride = point.stride
    if stride > 1:
        name = f"decoder_step{number + 1}"
        path.enlarge(f"{name}_enlarge", IMAGE, stride)
        _step(path, name, number + 1, spec, None, None)
    path.output(OUTPUT_LAYER, spec.decoder.outputs, _OUTPUT_KERNEL)
    return normalised(spec, path.operations)


def unet_walk(spec: ArchSpec) -> tuple[Operation, ...]:
    """Return the operations from the image to the decoder's outputs; the top is none of them.

    Args:
        spec: A network with a decoder.

    Example:
        >>> from efn_compose.arch import DecoderSpec, arch_spec
        >>> unet_walk(arch_spec("b0").with_decoder(DecoderSpec()))[-1].name
        'decoder_output'
    """
    bottom = feature_points(spec)[-1].layer
    names = [operation.name for operation in body(spec)]
    return (*body(spec)[: names.index(bottom) + 1], *decoder_operations(spec))


def _step(
    path: OperationPath,
    name: str,
    number: int,
    spec: ArchSpec,
    point: FeaturePoint | None,
    skip: FeaturePoint | None,
) -> None:
    """Append a step's operations behind its enlargement.

    Args:
        path: Ends with the enlarged map.
        name: Prefix of the step's layers, and the group of its output.
        number: From 1.
        spec: The network.
        point: The feature point of the same size, None at the image's.
        skip: The feature point that is read, or None.
    """
    blocks = [block for block in spec.blocks if point is not None and block.name == point.name]
    if spec.decoder is not None and spec.decoder.kind == "classic":
        width = CLASSIC_WIDTHS[min(number, len(CLASSIC_WIDTHS)) - 1]
        _merge(path, f"{name}_first", skip, f"{name}_first", width, 3, "relu")
        _merge(path, f"{name}_second", None, name, width, 3, "relu")
    elif not blocks:
        _merge(path, f"{name}_only", skip, name, spec.stem_channels, 3, "network")
    else:
        first, *others = spec.stage_blocks(blocks[0].stage)
        width = blocks[0].out_channels
        _mirrored(path, name, name, first, skip, width)
        if spec.decoder is not None and spec.decoder.repeats == "all":
            for block in others:
                before = path.last
                prefix = f"{name}_block{block.repeat}"
                _mirrored(path, prefix, name, block, None, width)
                path.add(f"{prefix}_add", before)


def _mirrored(
    path: OperationPath,
    name: str,
    group: str,
    block: BlockSpec,
    skip: FeaturePoint | None,
    width: int,
) -> None:
    """Append a block of stride 1 with the kernel, expansion and gate of one of the encoder's."""
    if block.is_single_conv:
        _merge(path, f"{name}_project", skip, group, width, block.kernel, "network")
        return
    # The first block of a stage expands the stage before it: shares, not counts, are taken over.
    hidden = max(1, block.mid_channels * width // block.in_channels)
    kernel = block.kernel if block.kind == "fused" else 1
    _merge(path, f"{name}_expand", skip, expanded_of(name), hidden, kernel, "network")
    if block.kind == "mbconv":
        path.depthwise(f"{name}_depthwise_conv", block.kernel, 1)
        path.norm(f"{name}_depthwise_bn")
        path.act(f"{name}_depthwise_activation")
    if block.se_channels:
        gate = max(1, block.se_channels * width // block.in_channels)
        path.squeeze_excite(f"{name}_se", gate)
    path.conv(f"{name}_project_conv", group, width)
    path.norm(f"{name}_project_bn")


def _merge(
    path: OperationPath,
    name: str,
    skip: FeaturePoint | None,
    group: str,
    width: int,
    kernel: int,
    function: FunctionName,
) -> None:
    """Append a convolution of a map and its skip, BatchNorm and activation."""
    path.conv(f"{name}_conv", group, width, kernel=kernel)
    if skip is not None:
        below = path.last
        path.append(
            Operation(
                kind="conv",
                name=f"{name}_skip_conv",
                reads=(skip.layer,),
                group_in=skip.group,
                group_out=group,
                in_channels=skip.channels,
                out_channels=width,
                kernel=kernel,
            )
        )
        path.add(f"{name}_join", below)
    path.norm(f"{name}_bn")
    path.act(f"{name}_activation", function)
