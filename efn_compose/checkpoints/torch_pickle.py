"""An unpickler that can make tensors and plain values, and nothing else.

A pickle is a program. Here it runs with inert stand-ins of our own for every
global it asks for; no name of the file is ever imported. Globals that are not on
the allow-list are collected, so that one error names them all. The interpreter is
Python's own in Python: its memo is a dictionary, while that of the C one is an array
that a few bytes can make gigabytes long.
"""

import io
import itertools
import math
import operator
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from efn_compose.checkpoints.values import numpy_dtype
from efn_compose.errors import (
    ForbiddenPickleError,
    UnreadableCheckpointError,
    UnsafeCheckpointError,
    describe_problems,
)

#: A pickle larger than this describes no EfficientNet.
MAX_PICKLE_BYTES = 32 << 20

#: Name of the numpy type behind each torch storage class and dtype.
STORAGE_DTYPES: dict[str, str] = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_TORCH_DTYPES: dict[str, str] = {
    "float32": "float32", "float": "float32", "float64": "float64", "double": "float64",
    "float16": "float16", "half": "float16", "bfloat16": "bfloat16", "int64": "int64",
    "long": "int64", "int32": "int32", "int": "int32", "int16": "int16", "short": "int16",
    "int8": "int8", "uint8": "uint8", "bool": "bool",
}  # fmt: skip


class _Fixed:
    """Something a pickle may use but not change: pickles can set attributes of what they name.

    What they name is shared by all files that this process reads.
    """

    def __setstate__(self, state: Any) -> None:
        raise UnreadableCheckpointError(
            f"changes a {type(self).__name__}, which no PyTorch file does"
        )


@dataclass(frozen=True)
class StorageType(_Fixed):
    """Stand-in for a torch storage class; the dtype is None for untyped storage."""

    dtype: str | None


@dataclass(frozen=True)
class TorchDtype(_Fixed):
    """Stand-in for a torch dtype."""

    name: str


@dataclass(frozen=True)
class StorageRef(_Fixed):
    """A storage by its key in the file, with its declared number of elements."""

    key: str
    dtype: str | None
    numel: int
    offset: int = 0


@dataclass(frozen=True)
class TensorRef(_Fixed):
    """A tensor by its storage, in elements."""

    storage: StorageRef
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Inert:
    """Stand-in for an object whose content nobody needs: settings, scores, counters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.arguments = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


@dataclass(frozen=True)
class _Function(_Fixed):
    """A function that a pickle may call."""

    call: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRef:
    if not isinstance(storage, StorageRef) or storage.dtype is None:
        raise UnreadableCheckpointError("a tensor without typed storage")
    return TensorRef(storage, storage.dtype, storage.offset + offset, tuple(shape), tuple(stride))


def _rebuild_tensor_v3(
    storage: Any, offset: Any, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> TensorRef:
    if not isinstance(storage, StorageRef) or not isinstance(dtype, TorchDtype):
        raise UnreadableCheckpointError("a tensor without storage or dtype")
    itemsize = numpy_dtype(dtype.name).itemsize
    typed = StorageRef(storage.key, dtype.name, storage.numel // itemsize)
    return TensorRef(typed, dtype.name, offset, tuple(shape), tuple(stride))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1" or len(text) > 1 << 16:
        raise UnreadableCheckpointError("bytes of an unexpected kind")
    return text.encode("latin1")


def _allowed() -> dict[tuple[str, str], Any]:
    rebuild, parameter = _Function(_rebuild_tensor), _Function(_rebuild_parameter)
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): rebuild,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild,
        ("torch._utils", "_rebuild_tensor_v3"): _Function(_rebuild_tensor_v3),
        ("torch._utils", "_rebuild_parameter"): parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): parameter,
        ("torch", "Size"): tuple,
        ("torch", "device"): Inert,
        ("torch.storage", "UntypedStorage"): StorageType(None),
        # Settings and scores in training checkpoints; nothing of them is used but plain values.
        ("argparse", "Namespace"): Inert,
        ("_codecs", "encode"): _Function(_encode),
        ("numpy", "dtype"): Inert,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table[module, "scalar"] = Inert
    for name, dtype in STORAGE_DTYPES.items():
        table["torch", name] = StorageType(dtype)
    for name, dtype in _TORCH_DTYPES.items():
        table["torch", name] = TorchDtype(dtype)
    return table


_ALLOWED = _allowed()


class _BoundedFile:
    """Lets an unpickler read so much of a file and no more."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where, self._left = file, where, MAX_PICKLE_BYTES

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise UnsafeCheckpointError(
                f"{self._where}: a pickle of more than {MAX_PICKLE_BYTES >> 20} MB; refused."
            )

    def read(self, size: int) -> bytes:
        self._count(size)
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(1 << 12)
        self._count(len(line))
        return line


# The C unpickler's memo is an array as long as the largest index in the file.
class _Unpickler(pickle._Unpickler):
    def __init__(self, file: BinaryIO, where: str, load_storage: Callable[[Any], Any]) -> None:
        is_small = isinstance(file, io.BytesIO) and file.getbuffer().nbytes <= MAX_PICKLE_BYTES
        super().__init__(file if is_small else _BoundedFile(file, where))
        self._load_storage = load_storage
        self.forbidden: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            self.forbidden.add(f"{module}.{name}")
            return Inert
        return allowed

    def get_extension(self, code: int) -> None:
        self.forbidden.add(f"extension code {code}")
        self.append(Inert)

    def persistent_load(self, saved_id: Any) -> Any:
        return self._load_storage(saved_id)


def storage_from_id(saved_id: Any) -> StorageRef:
    """Return the storage that a persistent id of torch describes.

    Raises:
        UnreadableCheckpointError: The id is not one that torch writes.
    """
    if not isinstance(saved_id, tuple) or len(saved_id) < 5 or saved_id[0] != "storage":
        raise UnreadableCheckpointError(f"an unknown kind of stored object: {saved_id!r:.80}")
    _, kind, key, _, numel = saved_id[:5]
    view = saved_id[5] if len(saved_id) > 5 else None
    if not isinstance(kind, StorageType) or not isinstance(numel, int) or numel < 0:
        raise UnreadableCheckpointError(f"a storage of an unknown kind: {saved_id!r:.80}")
    offset = view[1] if isinstance(view, tuple) and len(view) == 3 else 0
    return StorageRef(str(key), kind.dtype, numel, offset)


def safe_unpickle(
    file: BinaryIO,
    where: str | Path,
    load_storage: Callable[[Any], StorageRef] = storage_from_id,
) -> Any:
    """Return the object of a torch pickle, tensors as `TensorRef`, without running its code.

    Args:
        file: Open where the pickle begins; left where it ends.
        where: Name of the file, for messages.
        load_storage: Turns a persistent id into a storage.

    Raises:
        ForbiddenPickleError: It asks for globals that are not on the list; all are named.
        UnsafeCheckpointError: It is larger than any description of a network.
        UnreadableCheckpointError: It is damaged.
    """
    where = str(where)
    unpickler = _Unpickler(file, where, load_storage)
    try:
        content = unpickler.load()
    except UnreadableCheckpointError as error:
        reason = str(error)
    except (
        pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, LookupError,
        UnicodeDecodeError, OverflowError, RecursionError, AssertionError, NotImplementedError,
        struct.error,
    ) as error:  # fmt: skip
        reason = f"a damaged pickle ({type(error).__name__}: {error})"
    else:
        reason = ""
    if unpickler.forbidden:
        raise _forbidden(where, unpickler.forbidden)
    if reason:
        raise UnreadableCheckpointError(f"{where}: {reason}.")
    return content


def _forbidden(where: str, names: set[str]) -> ForbiddenPickleError:
    return ForbiddenPickleError(
        describe_problems(
            f"{where}: the pickle asks for code that is not a tensor; nothing was run.",
            [f"- {name}" for name in sorted(names)],
            "If you trust the file, load it with its own library and save only the tensors: "
            "torch.save(model.state_dict(), 'weights.pth').",
        )
    )


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
    last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    if numel > stored_numel or last >= stored_numel:
        raise UnsafeCheckpointError(
            f"{where}: declares {numel} elements (shape {shape}, stride {stride}, offset "
            f"{tensor.offset}) but its storage holds {stored_numel}; refused."
        )


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
