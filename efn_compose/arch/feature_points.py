"""Feature points: the last feature map at each stride, where decoders attach."""

from dataclasses import dataclass

from efn_compose.arch.specs import ArchSpec
from efn_compose.arch.walk import body


@dataclass(frozen=True)
class FeaturePoint:
    """The last feature map at one stride.

    Args:
        name: The block that puts it out, "stage2_block2", or "stem_activation" where no
            block does. `StepwiseNetwork.run` shows its output under that name.
        layer: The operation, and Keras layer, that puts it out: "stage2_block2_add".
        group: Its channel group.
        channels: Its channels.
        stride: Pixels of the input per position.
    """

    name: str
    layer: str
    group: str
    channels: int
    stride: int


def feature_points(spec: ArchSpec) -> tuple[FeaturePoint, ...]:
    """Return the last feature map at each stride, from fine to coarse.

    Published networks have them at strides 2, 4, 8, 16 and 32. The top belongs to the
    classifier and is none of them.

    Args:
        spec: The network.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> [(point.name, point.channels, point.stride) for point in feature_points(arch_spec("b0"))]
        ... # doctest: +NORMALIZE_WHITESPACE
        [('stage1_block1', 16, 2), ('stage2_block2', 24, 4), ('stage3_block2', 40, 8),
         ('stage5_block3', 112, 16), ('stage7_block1', 320, 32)]
    """
    found: dict[int, FeaturePoint] = {}
    stride = 1
    for operation in body(spec):
        if operation.kind in ("conv", "depthwise"):
            stride *= operation.stride
        if operation.name != "stem_activation" and not operation.is_block_output:
            continue
        found[stride] = FeaturePoint(
            name=operation.block or operation.name,
            layer=operation.name,
            group=operation.group_out or "",
            channels=operation.out_channels,
            stride=stride,
        )
    return tuple(found.values())
