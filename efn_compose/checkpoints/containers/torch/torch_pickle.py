"""An unpickler that can make tensors and plain values, and nothing else.

A pickle is a program. Here it runs with inert stand-ins of our own for every
global it asks for; no name of the file is ever imported. Globals that are not on
the allow-list are collected, so that one error names them all.

Two interpreters run it. The memo of the one in C is an array that a few bytes can
make gigabytes long, so it gets only pickles that are, from first byte to last, made
of the instructions `torch.save` writes for weights, with small memo indices. Python's
own in Python, whose memo is a dictionary, takes all others.
"""

import io
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from efn_compose.checkpoints.containers.torch.torch_globals import ALLOWED, Inert, storage_from_id
from efn_compose.checkpoints.containers.torch.torch_tensors import StorageRef
from efn_compose.errors import (
    ForbiddenPickleError,
    UnreadableCheckpointError,
    UnsafeCheckpointError,
    describe_problems,
)

#: A pickle larger than this describes no EfficientNet.
MAX_PICKLE_BYTES = 32 << 20

#: A larger pickle is not worth the look whether it is plain.
_MAX_PLAIN_BYTES = 4 << 20
#: Instructions of `torch.save` but for texts, whose length is in them, and the stop. A memo index
#: ("r") may have two bytes of its four.
_PLAIN_INSTRUCTIONS = re.compile(
    rb"(?:[()\]}NRQabestu\x85-\x89]|[hqK\x80].|M..|[Jj].{4}|G.{8}|r..\0\0"
    rb"|c[^\n]{1,99}\n[^\n]{1,99}\n)*+",
    re.DOTALL,
)
_TEXT, _STOP = b"X", b"."


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


class _Globals:
    """What both interpreters do where a pickle names something outside itself."""

    def __init__(self, file: object, load_storage: Callable[[Any], Any]) -> None:
        super().__init__(file)  # type: ignore[call-arg] # the unpickler's, which is mixed in
        self._load_storage = load_storage
        self.forbidden: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        allowed = ALLOWED.get((module, name))
        if allowed is None:
            self.forbidden.add(f"{module}.{name}")
            return Inert
        return allowed

    def persistent_load(self, saved_id: object) -> Any:
        return self._load_storage(saved_id)


class _PlainUnpickler(_Globals, pickle.Unpickler):
    """For pickles that `_plain_end` has read through."""


class _AnyUnpickler(_Globals, pickle._Unpickler):
    """For all others."""

    def get_extension(self, code: int) -> None:
        self.forbidden.add(f"extension code {code}")
        self.append(Inert)  # type: ignore[attr-defined] # typeshed does not list it


def _plain_end(data: bytes) -> int | None:
    """Return where a pickle of plain instructions ends, None where there is another one in it."""
    position = 0
    while True:
        found = _PLAIN_INSTRUCTIONS.match(data, position)
        position = found.end() if found else position
        instruction = data[position : position + 1]
        if instruction == _STOP:
            return position + 1
        if instruction != _TEXT:
            return None
        length = int.from_bytes(data[position + 1 : position + 5], "little")
        position += 5 + length
        if position > len(data):
            return None


def _unpickler(
    file: BinaryIO, where: str, load_storage: Callable[[Any], Any]
) -> _PlainUnpickler | _AnyUnpickler:
    start = file.tell()
    data = file.read(_MAX_PLAIN_BYTES)
    end = _plain_end(data)
    file.seek(start if end is None else start + end)
    if end is not None:
        return _PlainUnpickler(io.BytesIO(data[:end]), load_storage)
    return _AnyUnpickler(_BoundedFile(file, where), load_storage)


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
    unpickler = _unpickler(file, where, load_storage)
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
    is_quantised = any("_qtensor" in name or "QInt8" in name for name in names)
    what = (
        "holds quantised tensors, which are no plain weights"
        if is_quantised
        else ("asks for code that is not a tensor")
    )
    return ForbiddenPickleError(
        describe_problems(
            f"{where}: the pickle {what}; nothing was run.",
            [f"- {name}" for name in sorted(names)],
            "Save the network before it is quantised."
            if is_quantised
            else "If you trust the file, load it with its own library and save only the tensors: "
            "torch.save(model.state_dict(), 'weights.pth').",
        )
    )
