"""An HDF5 file that tensors are read from, in a file of its own or inside a zip archive."""

from collections.abc import Callable
from typing import Any

import numpy as np

from efn_compose.checkpoints.containers.keras.hdf5_heaps import check_heaps, dataset_places
from efn_compose.checkpoints.containers.keras.hdf5_safety import (
    damage_refused,
    open_hdf5,
    safe_member,
)
from efn_compose.checkpoints.containers.source_file import SourceFile, StoredValues


class Hdf5Source:
    """An HDF5 file: open while its layout is read, and again where h5py must read a tensor.

    Args:
        open_again: Opens the file for h5py: a path, or a seekable binary file object.
        values: The file in which datasets that are one piece are read without h5py, or None.
        offset: Where the HDF5 file begins in that one.

    Example:
        >>> source = Hdf5Source(lambda: "w.h5", SourceFile(path))  # doctest: +SKIP
    """

    def __init__(
        self, open_again: Callable[[], Any], values: SourceFile | None = None, offset: int = 0
    ) -> None:
        self._open_again, self._values, self._offset = open_again, values, offset
        self._file: Any = None
        self._below: Any = None

    @property
    def file(self) -> Any:
        """The open `h5py.File`."""
        if self._file is None:
            self._below = self._open_again()
            try:
                self._file = open_hdf5(self._below)
                if self._values is not None:
                    size = self._file.id.get_filesize()
                    places = dataset_places(self._file)
                    check_heaps(self._values, size, places, self._offset)
            except BaseException:
                self.close()
                raise
        return self._file

    def close(self) -> None:
        """Close all files; another read opens them again."""
        if self._file is not None:
            self._file.close()
        if hasattr(self._below, "close"):
            self._below.close()
        self._file = self._below = None
        if self._values is not None:
            self._values.close()

    def loader(self, dataset: Any, dtype: np.dtype) -> Callable[[], np.ndarray]:
        """Return what reads a dataset later.

        Args:
            dataset: An open dataset of this file that has passed the safety checks.
            dtype: What to call the type of its values, of equal size.
        """
        from h5py import h5t

        offset = dataset.id.get_offset()
        # None where the values are chunked, compact, or not there.
        is_plain = offset is not None and dataset.id.get_type() == h5t.py_create(dataset.dtype)
        if self._values is not None and is_plain and dataset.size:
            begin = self._offset + offset
            return StoredValues(self._values, lambda: begin, tuple(dataset.shape), dtype)
        name, where = dataset.name, f"{dataset.file.filename}: {dataset.name}"

        def load() -> np.ndarray:
            with damage_refused(where):
                values = np.asarray(safe_member(self.file, name.lstrip("/"))[()])
            return values if values.dtype == dtype else values.view(dtype)

        return load
