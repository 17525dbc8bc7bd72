"""HDF5 files laid out first and filled by plain writes.

h5py needs a fifth of a millisecond for every dataset it writes, which is most of the time a
small network takes. A file of contiguous datasets whose shapes are known can be made faster:
the library lays out all datasets and says where their values belong, and the values are then
written there, in order, like into any other file.
"""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

#: Bytes by which HDF5 grows its structures; its default makes many small writes.
_METADATA_STEP_BYTES = 1 << 16
#: HDF5 keeps so much of its structures in memory; its default grows to many times what the file
#: holds of them, and is no faster here.
_METADATA_CACHE_BYTES = 1 << 17


@dataclass(frozen=True)
class Slot:
    """A dataset to lay out.

    Args:
        group: Name of its group, without "/".
        name: Name in the group.
        shape: Shape; no axis is empty.
        dtype: "float16", "bfloat16", "float32", "float64", or another numpy type.
    """

    group: str
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def path(self) -> str:
        """Name in the file."""
        return f"{self.group}/{self.name}"


def lay_out(
    path: str | os.PathLike[str],
    slots: Iterable[Slot],
    group_names: Mapping[str, tuple[str, Sequence[str]]],
) -> dict[str, int]:
    """Create an HDF5 file whose datasets have a place but no values yet.

    Args:
        path: File to create or replace.
        slots: Its datasets, in the order of their values; the datasets of a group stand together.
        group_names: For a group an attribute and the names it lists.

    Returns:
        Offset of each dataset's values, in bytes, by `Slot.path`. The values go there in C
        order and little-endian; bytes that are not written read as zero.

    Example:
        >>> lay_out("new.h5", [Slot("stem_conv", "kernel", (3, 3, 3, 32), "float32")], {})
        ... # doctest: +SKIP
        {'stem_conv/kernel': 2048}
    """
    from h5py import h5d, h5f, h5g, h5p, h5s

    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_meta_block_size(_METADATA_STEP_BYTES)
    access.set_mdc_config(_fixed_cache(access.get_mdc_config()))
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)  # The same weights are the same bytes.
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    file = h5f.create(os.fsencode(path), h5f.ACC_TRUNC, fapl=access)
    offsets = {}
    spaces: dict[tuple[int, ...], Any] = {}
    try:
        # A group is closed before the next is made: the library keeps much about open groups.
        for name, members in itertools.groupby(slots, key=lambda slot: slot.group):
            group = h5g.create(file, name.encode())
            for slot in members:
                if slot.shape not in spaces:
                    spaces[slot.shape] = (
                        h5s.create_simple(slot.shape) if slot.shape else h5s.create(h5s.SCALAR)
                    )
                dataset = h5d.create(
                    group,
                    slot.name.encode(),
                    stored_type(slot.dtype),
                    spaces[slot.shape],
                    dcpl=creation,
                )
                offsets[slot.path] = dataset.get_offset()
            if name in group_names:
                _write_names(group, *group_names[name])
    finally:
        file.close()
    return offsets


def _fixed_cache(config: Any) -> Any:
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = _METADATA_CACHE_BYTES
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0
    return config


@cache
def stored_type(dtype: str) -> Any:
    """Return the HDF5 type of a numpy type name or of "bfloat16".

    bfloat16 is described by its bits (as HDF5 2.0 predefines it), so that the library itself
    widens it: h5py, and with it Keras, reads such datasets as float32.
    """
    from h5py import h5t

    if dtype != "bfloat16":
        return h5t.py_create(np.dtype(dtype).newbyteorder("<"))
    kind = h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    return kind


def _write_names(group: object, attribute: str, names: Sequence[str]) -> None:
    """Write an attribute that lists names, as h5py writes an array of bytes."""
    from h5py import h5a

    values, kind, space = _name_list(tuple(names))
    h5a.create(group, attribute.encode(), kind, space).write(values, mtype=kind)


@cache
def _name_list(names: tuple[str, ...]) -> tuple[np.ndarray, Any, Any]:
    """Return an array of names, its HDF5 type and its space: a hundred layers share a few lists."""
    from h5py import h5s, h5t

    values = np.array(names, dtype="S")
    return values, h5t.py_create(values.dtype), h5s.create_simple(values.shape)
