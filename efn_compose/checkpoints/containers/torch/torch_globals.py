"""The globals that a pickle of PyTorch may ask for, and our stand-ins for them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from efn_compose.checkpoints.containers.torch.torch_tensors import Fixed, StorageRef, TensorRef
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.errors import UnreadableCheckpointError

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
class StorageType(Fixed):
    """Stand-in for a torch storage class; the dtype is None for untyped storage."""

    dtype: str | None


@dataclass(frozen=True)
class TorchDtype(Fixed):
    """Stand-in for a torch dtype."""

    name: str


class Inert:
    """Stand-in for an object whose content nobody needs: settings, scores, counters."""

    #: The attributes that the pickle would have given the object.
    state: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.arguments = args

    def __setstate__(self, state: object) -> None:
        self.state = state


class InertDict(dict[Any, Any]):
    """Stand-in for a dictionary of another class; it keeps its items and forgets all else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass


class InertList(list[Any]):
    """Stand-in for a list of another class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True)
class _Function(Fixed):
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


def _rebuild_parameter(data: object, *_: Any) -> Any:
    return data


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1" or len(text) > 1 << 16:
        raise UnreadableCheckpointError("bytes of an unexpected kind")
    return text.encode("latin1")


#: Objects of plain data that trainings keep beside the weights, by module. None of them is ever made.
_PLAIN_OBJECTS: dict[str, str] = {
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "builtins": "bool bytearray bytes complex dict float frozenset int list long object range set slice str "
    "tuple xrange",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "numpy": "bool bool_ bytes_ complex128 complex64 datetime64 dtype float16 float32 float64 int16 "
    "int32 int64 int8 longdouble ndarray object_ str_ timedelta64 uint16 uint32 uint64 uint8",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy.dtypes": "BoolDType Float16DType Float32DType Float64DType Int16DType Int32DType Int64DType "
    "Int8DType ObjectDType StrDType UInt16DType UInt32DType UInt64DType UInt8DType",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "torch": "Generator device",
    "torch._C": "Generator",
    "torch.torch_version": "TorchVersion",
    "uuid": "UUID",
}
#: Dictionaries of other classes, by module; their items are kept.
_DICTIONARIES: dict[str, str] = {
    "collections": "Counter defaultdict",
    "lightning.fabric.utilities.data": "AttributeDict",
    "lightning.pytorch.utilities.parsing": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
}
#: Lists of other classes, by module.
_LISTS: dict[str, str] = {"collections": "deque"}
#: What other versions of Python and numpy call a module.
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "builtins": ("__builtin__",),
    "numpy.core.multiarray": ("numpy._core.multiarray",),
    "numpy.core.numeric": ("numpy._core.numeric",),
    "pathlib": ("pathlib._local",),
}


def _stand_ins() -> dict[tuple[str, str], type]:
    return {
        (alias, name): stand_in
        for table, stand_in in (
            (_PLAIN_OBJECTS, Inert),
            (_DICTIONARIES, InertDict),
            (_LISTS, InertList),
        )
        for module, names in table.items()
        for alias in (module, *_OTHER_NAMES.get(module, ()))
        for name in names.split()
    }


def _allowed() -> dict[tuple[str, str], Any]:
    rebuild, parameter = _Function(_rebuild_tensor), _Function(_rebuild_parameter)
    table: dict[tuple[str, str], Any] = {
        **_stand_ins(),
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): rebuild,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild,
        ("torch._utils", "_rebuild_tensor_v3"): _Function(_rebuild_tensor_v3),
        ("torch._utils", "_rebuild_parameter"): parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): parameter,
        ("torch", "Size"): tuple,
        ("torch.storage", "UntypedStorage"): StorageType(None),
        ("_codecs", "encode"): _Function(_encode),
    }
    for name, dtype in STORAGE_DTYPES.items():
        table["torch", name] = StorageType(dtype)
    for name, dtype in _TORCH_DTYPES.items():
        table["torch", name] = TorchDtype(dtype)
    return table


#: Stand-ins by module and name; all files of a process share them.
ALLOWED = _allowed()


def storage_from_id(saved_id: object) -> StorageRef:
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
