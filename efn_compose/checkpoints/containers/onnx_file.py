"""Reads an ONNX model: initializers as lazy tensors, nodes as plain records.

ONNX is a protocol buffer; the few messages needed are decoded here, so that no
extra package is necessary and nothing is copied before its size is known. Field
numbers are those of `onnx.proto`.
"""

import dataclasses
import functools
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.containers.source_file import SourceFile, StoredValues
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError

#: numpy type by ONNX's number; bfloat16 (16) is added when met.
_DTYPES = {1: "float32", 10: "float16", 11: "float64", 2: "uint8", 3: "int8", 6: "int32"}
_DTYPES |= {7: "int64", 9: "bool", 16: "bfloat16"}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]


@dataclass(frozen=True)
class OnnxNode:
    """One operation of the graph.

    Args:
        op: "Conv", "Gemm", ...
        inputs: Names of its input values.
        outputs: Names of its output values.
        attributes: Integers, floats, strings and lists of them, by name.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


def read(
    path: str | os.PathLike[str], *, container: str = "onnx", ema: bool = True
) -> RawCheckpoint:
    """Read an ONNX model without running it.

    Args:
        path: The `.onnx` file; tensors in side files beside it are found from it.
        container: The container that the caller recognised; only "onnx" comes here.
        ema: Without effect: ONNX files hold one set of weights.

    Returns:
        Initializers and constants by name; `metadata["nodes"]` holds the graph's
        `OnnxNode`s in order, "inputs" the shapes of its inputs by name (None for a
        length that is not fixed), "outputs" the names of its results, and "producer"
        who wrote it.

    Raises:
        UnreadableCheckpointError: Missing, truncated, not ONNX, or a side file is missing.
        UnsafeCheckpointError: A side file lies outside the model's folder, or a
            tensor declares other than it stores.

    Example:
        >>> raw = read("b0.onnx")  # doctest: +SKIP
        >>> [node.op for node in raw.metadata["nodes"]][:2]  # doctest: +SKIP
        ['Conv', 'Sigmoid']
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        raise UnreadableCheckpointError(f"{path}: no such file, or empty.")
    source = SourceFile(path)
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer,
        ):
            raw = _read_model(_Message(buffer, path, source))
        return dataclasses.replace(raw, release=source.close)
    except (struct.error, LookupError, TypeError, ValueError, OverflowError) as error:
        raise UnreadableCheckpointError(
            f"{path}: not a readable ONNX model ({error}). It is truncated, damaged, or of another "
            "format."
        ) from None


class _Message:
    """Decodes protocol-buffer fields of a mapped file; values are read from the file later."""

    def __init__(self, buffer: mmap.mmap, path: Path, source: SourceFile) -> None:
        self.buffer = buffer
        self.path = path
        self.source = source

    def fields(self, span: Span) -> Iterator[tuple[int, Any]]:
        """Yield (field number, value) of a message; values of length-delimited fields are spans."""
        position, end = span
        while position < end:
            value: Any
            key, position = self._varint(position, end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                value, position = self._varint(position, end)
            elif wire == _LENGTH:
                length, position = self._varint(position, end)
                value, position = (position, position + length), position + length
            elif wire in (_FIXED32, _FIXED64):
                width = 4 if wire == _FIXED32 else 8
                value, position = self.buffer[position : position + width], position + width
            else:
                raise UnreadableCheckpointError(f"{self.path}: not a readable ONNX model.")
            if position > end:
                raise UnreadableCheckpointError(
                    f"{self.path}: not a readable ONNX model (a field ends beyond its message). "
                    "It is truncated or damaged."
                )
            yield number, value

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end and shift < 70:
            byte = self.buffer[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise UnreadableCheckpointError(
            f"{self.path}: not a readable ONNX model (bad integer at byte {position})."
        )

    def text(self, span: Span) -> str:
        """Return a string field."""
        return self.buffer[span[0] : span[1]].decode("utf-8")

    def integers(self, value: Any) -> list[int]:
        """Return a repeated integer field's values, packed or single."""
        if isinstance(value, int):
            return [_signed(value)]
        numbers, position = [], value[0]
        while position < value[1]:
            number, position = self._varint(position, value[1])
            numbers.append(_signed(number))
        return numbers


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _read_model(message: _Message) -> RawCheckpoint:
    graph, producer = None, ""
    for number, value in message.fields((0, len(message.buffer))):
        if number == 7 and isinstance(value, tuple):
            graph = value
        elif number == 2 and isinstance(value, tuple):
            producer = message.text(value)
    if graph is None:
        raise UnreadableCheckpointError(f"{message.path}: not an ONNX model (it has no graph).")
    nodes: list[OnnxNode] = []
    tensors: dict[str, RawTensor] = {}
    names: dict[int, list[str]] = {11: [], 12: []}
    shapes: dict[str, tuple[int | None, ...]] = {}
    for number, value in message.fields(graph):
        if number == 1:
            node, constant = _read_node(message, value)
            nodes.append(node)
            if constant is not None and node.outputs:
                tensors[node.outputs[0]] = _read_tensor(message, constant, node.outputs[0])
        elif number == 5:
            tensor = _read_tensor(message, value)
            tensors[tensor.name] = tensor
        elif number in names:
            name, shape = _read_value_info(message, value)
            names[number].append(name)
            shapes[name] = shape
    metadata = {
        "nodes": tuple(nodes),
        "inputs": {name: shapes[name] for name in names[11] if name not in tensors},
        "outputs": tuple(names[12]),
        "producer": producer,
    }
    return RawCheckpoint(message.path, "onnx", tensors, metadata)


def _read_value_info(message: _Message, span: Span) -> tuple[str, tuple[int | None, ...]]:
    """Return a graph input's name and shape; lengths that are not fixed are None."""
    name, lengths = "", []
    for number, value in message.fields(span):
        if number == 1:
            name = message.text(value)
        elif number == 2:
            lengths = list(_read_lengths(message, value))
    return name, tuple(lengths)


def _read_lengths(message: _Message, span: Span) -> Iterator[int | None]:
    """Yield the lengths in a TypeProto: tensor_type (1), shape (2), dim (1), dim_value (1)."""
    spans = [span]
    for step in (1, 2, 1):
        spans = [v for s in spans for n, v in message.fields(s) if n == step]
        spans = [value for value in spans if isinstance(value, tuple)]
    for dimension in spans:
        values = [v for n, v in message.fields(dimension) if n == 1 and isinstance(v, int)]
        yield values[0] if values and values[0] > 0 else None


def _read_node(message: _Message, span: Span) -> tuple[OnnxNode, Span | None]:
    """Return a node, and the span of its tensor where it is a constant."""
    inputs, outputs, op, attributes, constant = [], [], "", {}, None
    for number, value in message.fields(span):
        if number == 1:
            inputs.append(message.text(value))
        elif number == 2:
            outputs.append(message.text(value))
        elif number == 4:
            op = message.text(value)
        elif number == 5:
            name, content, tensor = _read_attribute(message, value)
            attributes[name] = content
            constant = tensor or constant
    return OnnxNode(op, tuple(inputs), tuple(outputs), attributes), constant


def _read_attribute(message: _Message, span: Span) -> tuple[str, Any, Span | None]:
    name, content, tensor = "", None, None
    integers: list[int] = []
    for number, value in message.fields(span):
        if number == 1:
            name = message.text(value)
        elif number == 2:
            content = struct.unpack("<f", value)[0]
        elif number == 3:
            content = _signed(value)
        elif number == 4:
            content = message.buffer[value[0] : value[1]].decode("utf-8", "replace")
        elif number == 5:
            tensor = value
        elif number == 8:
            integers += message.integers(value)
    return name, integers or content, tensor


def _read_tensor(message: _Message, span: Span, name: str = "") -> RawTensor:
    """Return a lazy tensor from a TensorProto, its declared size checked."""
    shape: list[int] = []
    code, data, is_external, external = 0, {}, False, {}
    for number, value in message.fields(span):
        if number == 1:
            shape += message.integers(value)
        elif number == 2:
            code = value
        elif number in (4, 5, 7, 9, 10):
            data[number] = value
        elif number == 8 and not name:
            name = message.text(value)
        elif number == 13:
            entry = {n: message.text(v) for n, v in message.fields(value)}
            external[entry.get(1, "")] = entry.get(2, "")
        elif number == 14:
            is_external = value == 1
    dtype = _DTYPES.get(code, f"onnx-type-{code}")
    where = f"{message.path}: {name}"
    if min(shape, default=0) < 0:
        raise UnreadableCheckpointError(f"{where}: negative length in shape {shape}.")
    count = int(np.prod(shape, dtype=np.float64)) if shape else 1
    if is_external:
        load = _external(message.path, where, dtype, tuple(shape), count, external)
    else:
        load = _inline(message, where, dtype, tuple(shape), count, data)
    return RawTensor(name, tuple(shape), dtype, load)


def _numpy_type(dtype: str, where: str) -> np.dtype:
    if dtype.startswith("onnx-type"):
        raise UnreadableCheckpointError(f"{where}: values of {dtype} are no tensor of weights.")
    return numpy_dtype(dtype)


def _inline(
    message: _Message,
    where: str,
    dtype: str,
    shape: tuple[int, ...],
    count: int,
    data: dict[int, Any],
) -> Callable[[], np.ndarray]:
    """Return the loader of a tensor stored in the model file itself."""
    if dtype.startswith("onnx-type"):
        return lambda: np.empty(0, _numpy_type(dtype, where))
    typed = _numpy_type(dtype, where)
    native = {4: "float32", 10: "float64"}
    for number in (9, *native):
        if number in data and native.get(number, dtype) == dtype:
            start, end = data[number]
            if end - start != count * typed.itemsize:
                raise UnsafeCheckpointError(
                    f"{where}: declares {count * typed.itemsize} bytes, stores {end - start}; "
                    "refused."
                )
            if not count:
                return lambda: np.zeros(shape, typed)
            return StoredValues(message.source, functools.partial(int, start), shape, typed)
    for number in (5, 7):
        if number in data:
            integers = message.integers(data[number])
            if len(integers) != count:
                raise UnsafeCheckpointError(
                    f"{where}: declares {count} values, stores {len(integers)}; refused."
                )
            # Half-precision floats may be stored as the integers of their bits.
            bits = np.uint16 if dtype in ("float16", "bfloat16") else typed
            return lambda: np.array(integers).astype(bits).view(typed).reshape(shape)
    if count:
        raise UnsafeCheckpointError(f"{where}: declares {count} values, stores none; refused.")
    return lambda: np.zeros(shape, typed)


def _external(
    model: Path,
    where: str,
    dtype: str,
    shape: tuple[int, ...],
    count: int,
    entries: dict[str, str],
) -> Callable[[], np.ndarray]:
    """Return the loader of a tensor in a side file, which must lie in the model's folder."""
    location = entries.get("location", "")
    parts = location.replace("\\", "/").split("/")
    folder = model.parent.resolve()
    target = (folder / location).resolve()
    if not location or location.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise UnsafeCheckpointError(
            f"{where}: its values are said to lie in {location!r}, outside the model's folder; "
            "refused."
        )
    if not target.is_relative_to(folder):
        raise UnsafeCheckpointError(
            f"{where}: the side file {location!r} is a link out of the model's folder; refused."
        )
    if not target.is_file():
        raise UnreadableCheckpointError(
            f"{where}: its values lie in the side file {location!r}, which is not beside the model. "
            "Copy it there."
        )
    typed = _numpy_type(dtype, where)
    try:
        offset = int(entries.get("offset", "0") or 0)
        length = int(entries.get("length", "") or count * typed.itemsize)
    except ValueError:
        raise UnreadableCheckpointError(f"{where}: damaged entry of the side file.") from None
    size = target.stat().st_size
    if offset < 0 or length != count * typed.itemsize or offset + length > size:
        raise UnsafeCheckpointError(
            f"{where}: declares {count * typed.itemsize} bytes at {offset} of {location!r}, which "
            f"holds {size} (length entry {length}); refused."
        )
    return lambda: np.fromfile(target, typed, count, offset=offset).reshape(shape)
