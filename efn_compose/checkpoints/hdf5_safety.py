"""Checks that an HDF5 file holds its own data, made before any of it is allocated.

h5py follows external links, external raw storage and virtual datasets without
notice, so a weight file could read any file its reader can read; and a few
kilobytes can declare a dataset of many gigabytes.
"""

import os
from pathlib import Path
from typing import Any

from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError

#: Declared bytes per stored byte that compression may plausibly reach.
MAX_COMPRESSION_RATIO = 1000


def open_hdf5(path: str | os.PathLike[str]) -> Any:
    """Open an HDF5 file for reading.

    Args:
        path: The file.

    Returns:
        An open `h5py.File`; the caller closes it.

    Raises:
        UnreadableCheckpointError: The file is missing, truncated, or not HDF5.

    Example:
        >>> with open_hdf5("weights/b0.h5") as file:  # doctest: +SKIP
        ...     sorted(file)[:1]
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise UnreadableCheckpointError(f"{path}: no such file.")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UnreadableCheckpointError(
            f"{path}: not a readable HDF5 file ({error}). It is truncated, damaged, or of another "
            "format; fetch or write it again."
        ) from None


def safe_member(group: Any, name: str) -> Any:
    """Return a member of an HDF5 group after checking every link on the way to it.

    Args:
        group: An open h5py group.
        name: Name below the group; may contain "/".

    Raises:
        UnreadableCheckpointError: There is no such member.
        UnsafeCheckpointError: A link is not a plain hard link inside the file, or
            the dataset is external, virtual, or declares more than it stores.
    """
    import h5py

    member = group
    for part in name.split("/"):
        link = member.get(part, getlink=True) if isinstance(member, h5py.Group) else None
        where = f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
        if link is None:
            raise UnreadableCheckpointError(f"{where}: not in the file.")
        if not isinstance(link, h5py.HardLink):
            raise UnsafeCheckpointError(
                f"{where}: {type(link).__name__} refused; only data stored in the file itself is read."
            )
        member = member[part]
    if isinstance(member, h5py.Dataset):
        check_dataset(member)
    return member


def check_dataset(dataset: Any) -> None:
    """Raise `UnsafeCheckpointError` unless a dataset's values are stored in its own file.

    Args:
        dataset: An open h5py dataset.
    """
    where = f"{dataset.file.filename}: {dataset.name}"
    if dataset.external:
        raise UnsafeCheckpointError(f"{where}: external raw storage refused.")
    if dataset.is_virtual:
        raise UnsafeCheckpointError(f"{where}: virtual dataset refused.")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > MAX_COMPRESSION_RATIO * max(stored, 1) and dataset.nbytes > 4096:
        raise UnsafeCheckpointError(
            f"{where}: declares {dataset.nbytes} bytes but stores {stored}; refused."
        )
