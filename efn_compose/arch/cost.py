"""Cost of a network: parameters, multiply-adds, activations; counted, not measured."""

from dataclasses import dataclass

from efn_compose.arch.decoder import decoder_operations
from efn_compose.arch.inventory import parameter_count
from efn_compose.arch.specs import ArchSpec
from efn_compose.arch.walk import Operation, follow, walk


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
    """Return the cost of a network at an input size.

    Args:
        spec: The network.
        size: Height and width of the input in pixels.
        classes: Width of the classifier; None leaves it out. Of a network with a decoder both
            ways to its end count: to the classifier, and to the decoder's outputs.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> round(cost(arch_spec("b0"), 224, 1000).multiply_adds / 1e6)
        386
    """
    counter = _Counter()
    follow((*walk(spec, classes), *decoder_operations(spec)), size, counter.perform)
    return Cost(
        parameter_count(spec, classes), counter.multiply_adds, counter.activations, counter.largest
    )


class _Counter:
    """Sums over operations; what flows through them is the side of the feature map."""

    def __init__(self) -> None:
        self.multiply_adds = 0
        self.activations = 0
        self.largest = 0

    def perform(self, operation: Operation, side: int, *others: int) -> int:
        if operation.kind in ("squeeze", "pool"):
            return 1
        if operation.kind == "enlarge":
            return others[0]
        side = -(-side // operation.stride)
        if operation.kind in ("conv", "depthwise", "dense", "output"):
            outputs = side**2 * operation.out_channels
            inputs = 1 if operation.kind == "depthwise" else operation.in_channels
            self.multiply_adds += outputs * operation.kernel**2 * inputs
            self.activations += outputs
            self.largest = max(self.largest, outputs)
        return side
