"""Starting values of entries that belong to no donor.

A new channel has producers (the weights that make it) and consumers (the
weights that read it). Exactness needs the consumers that feed a donor's
channels to be zero or to cancel; everything else is free, and decides how the
network trains afterwards:

  "he"         producers random, consumers zero. New features are alive; their
               readers get gradients in the first step, the producers from the second.
  "replicate"  new channels copy the donor's most salient ones, consumers share the
               original's weights unequally (Net2Net, Chen et al. 2016, arXiv:1511.05641;
               unequal shares after LEMON, Wang et al. 2023, arXiv:2310.07999).
  "zero"       everything zero: a dead start. New producers and consumers wait for
               each other and most never receive a gradient.
"""

import zlib
from typing import Literal

import numpy as np

from efn_compose.arch import TensorSpec

Fill = Literal["he", "replicate", "zero"]
FILLS: tuple[str, ...] = ("he", "replicate", "zero")

#: Expected squared norm of a fresh filter, (2 / fan-in) times fan-in.
HE_SQUARED_NORM = 2.0
_PIECE = 1 << 15


def tensor_rng(tensor: TensorSpec, seed: int, purpose: str = "") -> np.random.Generator:
    """Return a generator that depends on the seed and the tensor's name, not on call order."""
    key = zlib.crc32(f"{purpose}:{tensor.name}".encode())
    return np.random.Generator(np.random.SFC64([seed, key]))


def fan_in(tensor: TensorSpec) -> int:
    """Return the number of inputs that one output channel of a kernel sums over."""
    count = 1
    axes = tensor.shape[:2] if tensor.role == "depthwise_kernel" else tensor.shape[:-1]
    for length in axes:
        count *= length
    return count


def fresh_values(tensor: TensorSpec, fill: str, seed: int) -> np.ndarray:
    """Return a whole tensor as if no donor were in it, float32.

    Kernels are He-uniform with variance 2 / fan-in (He et al. 2015,
    arXiv:1502.01852) unless `fill` is "zero"; gamma and the moving variance are
    one; everything else is zero.

    Args:
        tensor: The target tensor.
        fill: "he", "replicate" or "zero".
        seed: Same seed, same values, in any order of tensors.

    Example:
        >>> from efn_compose.arch import arch_spec, inventory
        >>> kernel = inventory(arch_spec("b0"))[0]
        >>> bool(fresh_values(kernel, "zero", 0).any())
        False
    """
    if tensor.role in ("gamma", "moving_variance"):
        return np.ones(tensor.shape, np.float32)
    if fill == "zero" or tensor.role not in ("kernel", "depthwise_kernel"):
        return np.zeros(tensor.shape, np.float32)
    values = np.empty(tensor.size, np.float32)
    rng = tensor_rng(tensor, seed)
    width = np.float32(2 * np.sqrt(3 * HE_SQUARED_NORM / fan_in(tensor)))
    # Piecewise, because a piece stays in the processor's cache for all three passes.
    for start in range(0, tensor.size, _PIECE):
        piece = values[start : start + _PIECE]
        rng.random(out=piece, dtype=np.float32)
        piece -= np.float32(0.5)
        piece *= width
    return values.reshape(tensor.shape)


def split_rows(
    values: np.ndarray, axis: int, sources: np.ndarray, rng: np.random.Generator
) -> None:
    """Share the rows of copied channels among their copies, unequally, in place.

    Every entry is shared with its own random weights, which sum to one over a
    channel and its copies; so the sum over copies is the original's and no two
    copies receive proportional gradients.

    Args:
        values: A kernel; rows of copies are overwritten.
        axis: The axis that reads the group.
        sources: For each channel of the group the channel it copies, itself for
            originals and for channels without a source.
        rng: Decides the shares.
    """
    rows = np.moveaxis(values, axis, 0)
    copied = np.flatnonzero(sources != np.arange(len(sources)))
    for original in np.unique(sources[copied]):
        members = np.concatenate([[original], copied[sources[copied] == original]])
        shares = rng.uniform(0.5, 1.5, (len(members), *rows.shape[1:])).astype(values.dtype)
        shares /= shares.sum(axis=0)
        rows[members] = shares * rows[original]
