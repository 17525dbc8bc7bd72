"""Checks that an HDF5 file holds its own data, made before any of it is allocated.

h5py follows external links, external raw storage and virtual datasets without
notice, so a weight file could read any file its reader can read; and a few
kilobytes can declare a dataset of many gigabytes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError

#: Declared bytes per stored byte that compression may plausibly reach.
MAX_COMPRESSION_RATIO = 1000
#: Datasets and attributes up to this size are read even if they store less (fill values).
ALWAYS_ALLOWED_BYTES = 4096


def open_hdf5(source: str | os.PathLike[str] | Any) -> Any:
    """Open an HDF5 file for reading.

    Args:
        source: The file, or a seekable binary file object.

    Returns:
        An open `h5py.File`; the caller closes it.

    Raises:
        UnreadableCheckpointError: The file is missing, truncated, or not HDF5.

    Example:
        >>> with open_hdf5("weights/b0.h5") as file:  # doctest: +SKIP
        ...     sorted(file)[:1]
    """
    import h5py

    if isinstance(source, str | os.PathLike):
        source = Path(source)
        if not source.is_file():
            raise UnreadableCheckpointError(f"{source}: no such file.")
    try:
        return h5py.File(source, "r")
    except OSError as error:
        raise UnreadableCheckpointError(
            f"{source}: not a readable HDF5 file ({error}). It is truncated, damaged, or of "
            "another format; fetch or write it again."
        ) from None


@contextmanager
def damage_refused(where: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into `UnreadableCheckpointError`.

    The library meets a flipped byte in its structures with whatever exception is
    near: OSError, KeyError, RuntimeError, a name that is no text.

    Args:
        where: The file, for the message.
    """
    try:
        yield
    except (OSError, LookupError, RuntimeError, ValueError, TypeError) as error:
        raise UnreadableCheckpointError(
            f"{where}: damaged ({type(error).__name__}: {error}). Fetch or write it again."
        ) from None


def safe_member(group: Any, name: str, *, is_checked_later: bool = False) -> Any:
    """Return a member of an HDF5 group after checking every link on the way to it.

    Args:
        group: An open h5py group.
        name: Name below the group; may contain "/".
        is_checked_later: Whether a dataset is left to the caller, who calls `check_dataset`, or reads
            its bytes past h5py and compares them with a checksum.

    Raises:
        UnreadableCheckpointError: There is no such member.
        UnsafeCheckpointError: A link is not a plain hard link inside the file, or
            the dataset is external, virtual, or declares more than it stores.
    """
    import h5py

    member = group
    for part in name.split("/"):
        is_group = isinstance(member, h5py.Group)
        link = member.get(part, getlink=True) if is_group and part else None
        if link is None:
            raise UnreadableCheckpointError(f"{_where(group, name)}: not in the file.")
        if not isinstance(link, h5py.HardLink):
            raise UnsafeCheckpointError(
                f"{_where(group, name)}: {type(link).__name__} refused; only data stored in the "
                "file itself is read."
            )
        member = member[part]
    if isinstance(member, h5py.Dataset) and not is_checked_later:
        check_dataset(member)
    return member


def check_dataset(dataset: Any) -> None:
    """Raise `UnsafeCheckpointError` unless a dataset's values are stored in its own file.

    Args:
        dataset: An open h5py dataset.
    """
    stored = dataset.id.get_storage_size()
    problem = ""
    if dataset.external:
        problem = "external raw storage refused."
    elif dataset.is_virtual:
        problem = "virtual dataset refused."
    elif dataset.dtype.hasobject:
        problem = f"values of type {dataset.dtype} refused; tensors are plain numbers."
    elif dataset.nbytes > max(MAX_COMPRESSION_RATIO * stored, ALWAYS_ALLOWED_BYTES):
        problem = f"declares {dataset.nbytes} bytes but stores {stored}; refused."
    if problem:
        raise UnsafeCheckpointError(f"{_file_name(dataset)}: {dataset.name}: {problem}")


def safe_attribute(node: Any, name: str) -> Any:
    """Return an attribute, or None where there is none, after checking its declared size.

    Args:
        node: An open h5py group or dataset.
        name: Name of the attribute.

    Raises:
        UnsafeCheckpointError: It declares more bytes than the whole file holds.
    """
    if name not in node.attrs:
        return None
    identity = node.attrs.get_id(name)
    declared = identity.dtype.itemsize * int(np.prod(identity.shape, dtype=np.float64))
    if declared > max(node.file.id.get_filesize(), ALWAYS_ALLOWED_BYTES):
        raise UnsafeCheckpointError(
            f"{_file_name(node)}: attribute {name!r} of {node.name} declares {declared} bytes, more "
            "than the file holds; refused."
        )
    return node.attrs[name]


def read_names(group: object, attribute: str) -> list[str] | None:
    """Return a list of names from an attribute, which Keras may split into numbered parts.

    Args:
        group: An open h5py group.
        attribute: "layer_names" or "weight_names".

    Returns:
        The names, or None where the attribute is absent.
    """
    parts = [safe_attribute(group, attribute)]
    if parts[0] is None:
        parts = []
        while (part := safe_attribute(group, f"{attribute}{len(parts)}")) is not None:
            parts.append(part)
        if not parts:
            return None
    names = [name for part in parts for name in np.atleast_1d(part)]
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


def walk_groups(root: Any, max_depth: int = 16) -> Iterator[tuple[str, Any]]:
    """Yield every group below a root with its path, each once, checking every link.

    Members whose names end in a number come in numeric order ("conv2d_2" before
    "conv2d_10"). Hard links can form cycles; a group met again is refused.

    Args:
        root: An open h5py group.
        max_depth: Deeper nesting is refused.

    Raises:
        UnsafeCheckpointError: A link is not a plain hard link, or groups form a
            cycle or nest deeper than `max_depth`.
    """
    import h5py

    seen: set[int] = set()

    def visit(group: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
        address = h5py.h5o.get_info(group.id).addr
        if address in seen or depth > max_depth:
            raise UnsafeCheckpointError(
                f"{_file_name(root)}: /{path}: group met twice or nested too deeply; refused."
            )
        seen.add(address)
        yield path, group
        for name in sorted(group, key=numeric_key):
            member = safe_member(group, name)
            if isinstance(member, h5py.Group):
                yield from visit(member, f"{path}/{name}".lstrip("/"), depth + 1)

    yield from visit(root, "", 0)


def numeric_key(name: str) -> tuple[str, int]:
    """Return a sort key under which "conv2d" < "conv2d_2" < "conv2d_10".

    Example:
        >>> sorted(["conv2d_10", "conv2d", "conv2d_2"], key=numeric_key)
        ['conv2d', 'conv2d_2', 'conv2d_10']
    """
    stem, _, number = name.rpartition("_")
    if stem and number.isdigit():
        return stem, int(number)
    return ("", int(name)) if name.isdigit() else (name, -1)


def _where(group: Any, name: str) -> str:
    return f"{_file_name(group)}: {group.name.rstrip('/')}/{name}"


def _file_name(node: Any) -> str:
    name = node.file.filename
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
