"""Where a PyTorch file keeps a tensor: storage, offset, shape and strides, and views made of them."""

import dataclasses
import itertools
import math
import operator
from dataclasses import dataclass

import numpy as np

from efn_compose.checkpoints.containers.source_file import SourceFile
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError


class Fixed:
    """An object that a pickle may use but not change: pickles can set attributes of named objects.

    Named objects are shared by all files that this process reads.
    """

    def __setstate__(self, state: object) -> None:
        raise UnreadableCheckpointError(
            f"changes a {type(self).__name__}, which no PyTorch file does"
        )


@dataclass(frozen=True)
class StorageRef(Fixed):
    """A storage by its key in the file, with its declared number of elements."""

    key: str
    dtype: str | None
    numel: int
    offset: int = 0


@dataclass(frozen=True)
class TensorRef(Fixed):
    """A tensor by its storage, in elements."""

    storage: StorageRef
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def check_extent(tensor: TensorRef, stored_numel: int, where: str) -> None:
    """Raise unless every element of a tensor lies in its storage and none is used many times over.

    Raises:
        UnsafeCheckpointError: The tensor has more elements than its storage, as a
            stride of 0 allows, or reaches outside it.
    """
    shape, stride = tensor.shape, tensor.stride
    integers = (*shape, *stride, tensor.offset)
    if len(shape) != len(stride) or not all(
        isinstance(value, int) and value >= 0 for value in integers
    ):
        raise UnsafeCheckpointError(f"{where}: shape {shape} with stride {stride} refused.")
    numel = 1
    for length in shape:
        numel *= length
    if numel == 0:
        return
    if numel > stored_numel or tensor.offset + _span(tensor) > stored_numel:
        raise UnsafeCheckpointError(
            f"{where}: declares {numel} elements (shape {shape}, stride {stride}, offset "
            f"{tensor.offset}) but its storage holds {stored_numel}; refused."
        )


def _span(tensor: TensorRef) -> int:
    """Return how many elements of its storage a tensor reaches across; none of its axes is empty."""
    return 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride, strict=True))


def span_bytes(tensor: TensorRef) -> int:
    """Return the same in bytes."""
    return _span(tensor) * numpy_dtype(tensor.dtype).itemsize


def read_span(source: SourceFile, start: int, tensor: TensorRef) -> np.ndarray:
    """Return a tensor, reading no more of its storage than it reaches across.

    Args:
        source: The file.
        start: Byte where the storage begins.
        tensor: `check_extent` must have passed.
    """
    dtype = numpy_dtype(tensor.dtype)
    flat = source.read(start + tensor.offset * dtype.itemsize, _span(tensor), dtype)
    return strided(flat, dataclasses.replace(tensor, offset=0))


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of an array whose last axis runs fastest."""
    steps = itertools.accumulate(reversed(shape[1:]), initial=1, func=operator.mul)
    return tuple(steps)[::-1] if shape else ()


def is_row_major(tensor: TensorRef) -> bool:
    """Return whether a tensor's elements lie side by side, the last axis running fastest."""
    return tensor.stride == _row_major(tensor.shape)


def is_whole(tensor: TensorRef, stored_bytes: int) -> bool:
    """Return whether a tensor is its storage, element by element."""
    needed = math.prod(tensor.shape) * numpy_dtype(tensor.dtype).itemsize
    return tensor.offset == 0 and needed == stored_bytes and is_row_major(tensor)


def strided(flat: np.ndarray, tensor: TensorRef) -> np.ndarray:
    """Return a tensor's view of its storage; `check_extent` must have passed."""
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, flat.dtype)
    if is_row_major(tensor):
        return flat[tensor.offset : tensor.offset + math.prod(tensor.shape)].reshape(tensor.shape)
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :],
        tensor.shape,
        tuple(step * flat.itemsize for step in tensor.stride),
        writeable=False,
    )
