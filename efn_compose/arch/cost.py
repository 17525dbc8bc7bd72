"""What a network costs: parameters, multiply-adds, activations; counted, not measured."""

from dataclasses import dataclass

from efn_compose.arch.inventory import parameter_count
from efn_compose.arch.specs import ArchSpec, BlockSpec


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass of one image.

    Args:
        parameters: Trainable parameters.
        multiply_adds: Multiplications with an addition in convolutions and the
            classifier; the literature calls this number FLOPs.
        activations: Elements that convolutions and the classifier put out.
        largest_map: Elements of the largest of these outputs.
    """

    parameters: int
    multiply_adds: int
    activations: int
    largest_map: int


def cost(spec: ArchSpec, size: int, classes: int | None = None) -> Cost:
    """Return what a network costs at an input size.

    Args:
        spec: The network.
        size: Height and width of the input in pixels.
        classes: Width of the classifier; None leaves it out.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> round(cost(arch_spec("b0"), 224, 1000).multiply_adds / 1e6)
        386
    """
    counter = _Counter(-(-size // spec.stem_stride))
    counter.conv(3, spec.stem_channels, 3)
    for block in spec.blocks:
        counter.block(block)
    features = spec.feature_channels
    if spec.top_channels:
        counter.conv(spec.blocks[-1].out_channels, spec.top_channels, 1)
    if classes is not None:
        counter.add(features * classes, classes)
    return Cost(
        parameter_count(spec, classes), counter.multiply_adds, counter.activations, counter.largest
    )


class _Counter:
    """Sums over layers, following the side of the feature map."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.multiply_adds = 0
        self.activations = 0
        self.largest = 0

    def add(self, multiply_adds: int, activations: int) -> None:
        self.multiply_adds += multiply_adds
        self.activations += activations
        self.largest = max(self.largest, activations)

    def conv(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        self.side = -(-self.side // stride)
        outputs = self.side**2 * channels_out
        self.add(outputs * kernel**2 * channels_in, outputs)

    def block(self, block: BlockSpec) -> None:
        fused, kernel, stride = block.kind == "fused", block.kernel, block.stride
        if block.has_expand:
            shape = (kernel, stride) if fused else (1, 1)
            self.conv(block.in_channels, block.mid_channels, *shape)
        if not fused:
            self.conv(1, block.mid_channels, kernel, stride)
        if block.se_channels:
            weights = block.mid_channels * block.se_channels
            self.add(2 * weights, block.se_channels + block.mid_channels)
        shape = (kernel, stride) if block.is_single_conv else (1, 1)
        self.conv(block.mid_channels, block.out_channels, *shape)
