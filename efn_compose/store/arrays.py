"""NumPy files, every byte of which is checked: `numpy.load` stops where a header says.

A flipped bit can make the header of an array shorter or turn its byte order. `numpy.load` then reads
other values, and never comes to the end of the member, where its checksum would be compared.
"""

import io
import os
import tokenize
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from efn_compose.checkpoints.containers.zip_archive import open_zip
from efn_compose.errors import RunError, UnreadableCheckpointError
from efn_compose.store.atomic import atomic_path

#: The beginning of a `.npy` file, and what stands there where it holds pickled Python objects.
_START, _OBJECTS = 128, b"'descr': '|O'"


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, atomically; the archive has a CRC-32 of each.

    Args:
        path: File to create or replace, usually `.npz`.
        arrays: By name; plain numbers or texts.

    Raises:
        RunError: No space, no permission, no such folder.
    """
    needed = sum(values.nbytes for values in arrays.values())
    with atomic_path(path, needed) as temporary, open(temporary, "wb") as file:
        # savez' own arguments have names that no array here has, which its types cannot say.
        np.savez(file, **cast(dict[str, Any], dict(arrays)))


def read_arrays(
    path: str | os.PathLike[str], names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of a `.npz` file by name, each compared with its checksum.

    Args:
        path: The file.
        names: Those that are wanted, where the file has them; all by default.

    Raises:
        RunError: Not there, damaged, or with pickled objects; the array is named.

    Example:
        >>> write_arrays("numbers.npz", {"one": np.ones(3)})  # doctest: +SKIP
        >>> read_arrays("numbers.npz")["one"]  # doctest: +SKIP
        array([1., 1., 1.])
    """
    where, found = f"{path}:", {}
    if not os.path.isfile(path):
        raise RunError(f"{path}: no such file.")
    try:
        with open_zip(path) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                if names is None or name in names:
                    where = f"{path}: {name!r}"
                    # Read whole, which compares the checksum, before a header is believed.
                    content = archive.read(member)
                    if _OBJECTS in content[:_START]:
                        raise UnreadableCheckpointError(
                            "it holds Python objects, which would have to be run. Write numbers or "
                            f"words: {name}=np.asarray(VALUES, str)."
                        )
                    found[name] = _array(content)
    except (UnreadableCheckpointError, SyntaxError, MemoryError, tokenize.TokenError) as error:
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        raise RunError(f"{where} cannot be read: {reason}") from None
    return found


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of a `.npz` file's arrays, sorted; none where it cannot be read."""
    try:
        with open_zip(path) as archive:
            return sorted(member.removesuffix(".npy") for member in archive.namelist())
    except UnreadableCheckpointError:
        return []


def seal(path: Path) -> None:
    """Put the CRC-32 of a `.npy` file behind its array, where `numpy.load` does not look.

    Args:
        path: The file.
    """
    with open(path, "r+b") as file:
        file.write(_crc32(file.read()))


def write_sealed(path: Path, values: np.ndarray) -> None:
    """Write an array into a `.npy` file with a seal, whole or not at all.

    Args:
        path: The file.
        values: Numbers.

    Example:
        >>> write_sealed(Path("answers.npy"), np.arange(3))  # doctest: +SKIP
    """
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            np.save(file, values)
        seal(temporary)


def read_sealed(path: Path) -> np.ndarray:
    """Return the array of a `.npy` file with a seal.

    Args:
        path: The file.

    Raises:
        RunError: Not there, damaged, or without a seal.
    """
    try:
        content = path.read_bytes()
        if _crc32(content[:-4]) != content[-4:]:
            raise ValueError("its checksum is another one")
        return _array(content[:-4])
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}).") from None


class WholeFiles:
    """Knows which sealed files are whole: each is read once to find that out.

    Example:
        >>> known = WholeFiles()
        >>> known.has(Path("absent.npy"), (3, 2))
        False
    """

    def __init__(self) -> None:
        self._paths: set[Path] = set()

    def has(self, path: Path, shape: tuple[int, ...]) -> bool:
        """Return whether a file is there, undamaged, with an array of a shape.

        Args:
            path: The file; its array always has the same shape.
            shape: Of the array.
        """
        if path not in self._paths:
            with suppress(RunError):
                if read_sealed(path).shape == shape:
                    self._paths.add(path)
        return path in self._paths

    def add(self, path: Path) -> None:
        """Note a file that has just been written whole."""
        self._paths.add(path)


def _crc32(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def _array(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    values: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise ValueError("more bytes than its header says")
    return values
