"""An unpickler that can make tensors and plain values, and nothing else.

A pickle is a program. This one is read twice: first its opcodes are walked
without running them, so that every global it would import is known and the
memo it would allocate is bounded; then it runs with an allow-list whose entries
are replaced by inert stand-ins of our own. No name of the file is ever imported.
"""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from efn_compose.errors import (
    ForbiddenPickleError,
    UnreadableCheckpointError,
    UnsafeCheckpointError,
    describe_problems,
)

#: A pickle larger than this describes no EfficientNet.
MAX_PICKLE_BYTES = 256 << 20
MAX_MEMO = 1 << 24

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


@dataclass(frozen=True)
class StorageType:
    """Stand-in for a torch storage class; the dtype is None for untyped storage."""

    dtype: str | None


@dataclass(frozen=True)
class TorchDtype:
    """Stand-in for a torch dtype."""

    name: str


@dataclass(frozen=True)
class StorageRef:
    """A storage by its key in the file, with its declared number of elements."""

    key: str
    dtype: str | None
    numel: int
    offset: int = 0


@dataclass(frozen=True)
class TensorRef:
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


def numpy_dtype(name: str) -> np.dtype:
    """Return the numpy dtype of a type name; bfloat16 comes from `ml_dtypes`.

    Example:
        >>> numpy_dtype("bfloat16").itemsize
        2
    """
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


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
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
        ("torch", "Size"): tuple,
        ("torch", "device"): Inert,
        ("torch.storage", "UntypedStorage"): StorageType(None),
        # Settings and scores in training checkpoints; nothing of them is used but plain values.
        ("argparse", "Namespace"): Inert,
        ("_codecs", "encode"): _encode,
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


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, where: str, load_storage: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._where = where
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _forbidden(self._where, {f"{module}.{name}"}) from None

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
    data: bytes,
    where: str | Path,
    load_storage: Callable[[Any], StorageRef] = storage_from_id,
) -> Any:
    """Return the object of a torch pickle, tensors as `TensorRef`, without running its code.

    Args:
        data: One pickle, from its first opcode to STOP.
        where: Name of the file, for messages.
        load_storage: Turns a persistent id into a storage.

    Raises:
        ForbiddenPickleError: It asks for a global that is not on the list; all are named.
        UnsafeCheckpointError: It would allocate a memo out of proportion.
        UnreadableCheckpointError: It is damaged.
    """
    where = str(where)
    scan_pickle(io.BytesIO(data), where)
    try:
        return _Unpickler(io.BytesIO(data), where, load_storage).load()
    except UnreadableCheckpointError as error:
        raise UnreadableCheckpointError(f"{where}: {error}.") from None
    except (
        pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError,
        IndexError, KeyError, UnicodeDecodeError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise UnreadableCheckpointError(f"{where}: a damaged pickle ({error}).") from None


def scan_pickle(file: BinaryIO, where: str) -> None:
    """Walk one pickle's opcodes without running them; leaves the file after its STOP.

    Raises:
        ForbiddenPickleError: A global is not on the allow-list; all are named.
        UnsafeCheckpointError: The pickle is too large, or its memo out of proportion.
        UnreadableCheckpointError: The opcodes are damaged.
    """
    start = file.tell()
    forbidden: set[str] = set()
    strings: list[str] = []
    count = 0
    try:
        for opcode, argument, position in pickletools.genops(file):
            count += 1
            if (position or 0) - start > MAX_PICKLE_BYTES:
                raise UnsafeCheckpointError(f"{where}: a pickle of more than 256 MB; refused.")
            if "PUT" in opcode.name and int(argument) > min(MAX_MEMO, 2 * count + 1024):
                raise UnsafeCheckpointError(
                    f"{where}: the pickle would allocate a memo of {argument} entries; refused."
                )
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = argument.partition(" ")
                if (module, name) not in _ALLOWED:
                    forbidden.add(f"{module}.{name}")
            elif opcode.name == "STACK_GLOBAL":
                pair = tuple(strings[-2:])
                if len(pair) == 2 and pair not in _ALLOWED:
                    forbidden.add(".".join(pair))
            elif opcode.name.startswith("EXT"):
                forbidden.add(f"{opcode.name} {argument}")
            if isinstance(argument, str) and "UNICODE" in opcode.name:
                strings = [*strings[-1:], argument]
    except (ValueError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise UnreadableCheckpointError(f"{where}: a damaged pickle ({error}).") from None
    if forbidden:
        raise _forbidden(where, forbidden)


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


def strided(flat: np.ndarray, tensor: TensorRef) -> np.ndarray:
    """Return a tensor's view of its storage; `check_extent` must have passed."""
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, flat.dtype)
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :],
        tensor.shape,
        tuple(step * flat.itemsize for step in tensor.stride),
        writeable=False,
    )
