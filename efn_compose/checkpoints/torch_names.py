"""What the name tables of all PyTorch dialects share."""

from collections.abc import Iterator

from efn_compose.checkpoints.dialect import IgnoreRule, Row
from efn_compose.checkpoints.raw import RawCheckpoint

#: Counters that BatchNorm keeps and inference never reads.
TORCH_IGNORE = (
    IgnoreRule(r"(.*\.)?num_batches_tracked", "BatchNorm's step counter, unused in inference"),
)

_BN = (
    ("weight", "gamma"),
    ("bias", "beta"),
    ("running_mean", "moving_mean"),
    ("running_var", "moving_variance"),
)


def conv(foreign: str, layer: str) -> Iterator[Row]:
    """Yield the row of a convolution without bias."""
    yield Row(f"{foreign}.weight", f"{layer}/kernel", "torch_conv")


def biased_conv(foreign: str, layer: str, layout: str = "torch_conv") -> Iterator[Row]:
    """Yield the rows of a convolution with bias, as squeeze-and-excite has them."""
    yield Row(f"{foreign}.weight", f"{layer}/kernel", layout)
    yield Row(f"{foreign}.bias", f"{layer}/bias")


def depthwise(foreign: str, layer: str) -> Iterator[Row]:
    """Yield the row of a depthwise convolution."""
    yield Row(f"{foreign}.weight", f"{layer}/depthwise_kernel", "torch_depthwise")


def batch_norm(foreign: str, layer: str) -> Iterator[Row]:
    """Yield the four rows of a BatchNorm."""
    for name, role in _BN:
        yield Row(f"{foreign}.{name}", f"{layer}/{role}")


def dense(foreign: str, layer: str) -> Iterator[Row]:
    """Yield the rows of a dense layer."""
    yield Row(f"{foreign}.weight", f"{layer}/kernel", "torch_dense")
    yield Row(f"{foreign}.bias", f"{layer}/bias")


def shape_of(raw: RawCheckpoint, name: str) -> tuple[int, ...] | None:
    """Return the shape of a tensor, or None where there is none of that name."""
    tensor = raw.tensors.get(name)
    return None if tensor is None else tensor.shape
