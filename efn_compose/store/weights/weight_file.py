"""The weight file: HDF5 in Keras' legacy weight layout, with architecture and origin inside.

Each layer is a group, each tensor a dataset `layer/role`, so that a dataset's
path is the canonical tensor name. The root attributes `layer_names` and, per
layer, `weight_names` make it a Keras weight file: Keras 3 and tf-keras load it
by topology and by name. The root attribute `efn_compose` (JSON) carries the
architecture, the conventions, the provenance and the recipe.

The classifier is stored but not listed in `layer_names`: a headless Keras model
loads the file as it is. V1 networks of any width and depth get the `normalization`
layer that those of `keras.applications` begin with, so that
`EfficientNetB0(include_top=False, weights=FILE)` computes the same features.

A second JSON attribute, `efn_compose_crc32`, has a checksum of every dataset and of the header.

Further parts (a decoder, a projector) are stored the same way behind the network, their names
and shapes in the header. They are not listed either: plain Keras loads the backbone beside them.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch import HEAD_LAYER, TensorSpec
from efn_compose.checkpoints.containers.keras.hdf5_heaps import check_heaps
from efn_compose.checkpoints.containers.keras.hdf5_safety import (
    check_dataset,
    damage_refused,
    open_hdf5,
    safe_member,
)
from efn_compose.checkpoints.containers.source_file import SourceFile, StoredValues
from efn_compose.checkpoints.containers.values import all_finite, numpy_dtype
from efn_compose.errors import WeightFileError, describe_problems
from efn_compose.store.atomic import atomic_path
from efn_compose.store.weights.checksums import (
    CHECKSUMS_ATTRIBUTE,
    check,
    checksums_from_json,
    checksums_to_json,
    crc32,
    crc32_of_text,
)
from efn_compose.store.weights.hdf5_skeleton import Slot, lay_out, stored_type
from efn_compose.store.weights.keras_normalization import NORMALIZATION_LAYER, normalization_weights
from efn_compose.store.weights.parts import Part, part_names
from efn_compose.store.weights.weight_header import WeightHeader
from efn_compose.store.weights.write_behind import WriteBehind

HEADER_ATTRIBUTE = "efn_compose"
DONOR_MAP_GROUP = "donor_map"

#: glibc learns from blocks up to 32 MB.
_LEARNED_BYTES = 31 << 20

#: Called with a tensor's record, returns its values; lets files be larger than memory.
TensorSource = Callable[[TensorSpec], np.ndarray]


def write_weights(
    path: str | os.PathLike[str],
    header: WeightHeader,
    source: Mapping[str, np.ndarray] | TensorSource,
    *,
    donor_map: Mapping[str, np.ndarray] | None = None,
    progress: Callable[[int], None] | None = None,
    final_header: Callable[[], WeightHeader] | None = None,
) -> None:
    """Write a weight file, tensor by tensor, atomically.

    Args:
        path: File to create or replace, usually `.h5`.
        header: The description stored in the file; it decides which tensors the file holds.
        source: Arrays by canonical name, or a function from a tensor's record to
            its array, called once per tensor in the order of `header.all_tensors`. An array must not change
            after it was returned: it is written while the next one is made.
        donor_map: For composed weights, the donor number of each channel by group
            name; unsigned 8-bit arrays of shape (channel,).
        progress: Called with the number of bytes after each tensor.
        final_header: Called after the last tensor, returns the header to store: with
            facts that are known only then. Network, classes and dtype stay.

    Raises:
        WeightFileError: A tensor is missing, has another shape, is not finite, or
            a variance is negative. Nothing is left behind.
        RunError: No space, no permission, no such folder.

    Example:
        >>> write_weights("b0.h5", header, tensors)  # doctest: +SKIP
    """
    if not callable(source):
        _check_names(str(path), header, source)
        source = _from_mapping(source)
    extra = normalization_weights(header)
    slots = [
        Slot(NORMALIZATION_LAYER, name, array.shape, array.dtype.name)
        for name, array in extra.items()
    ]
    slots += [Slot(t.layer, t.role, t.shape, header.dtype) for t in header.all_tensors]
    layers: dict[str, list[str]] = {}
    for slot in slots:
        layers.setdefault(slot.group, []).append(slot.name)
    names = {layer: ("weight_names", roles) for layer, roles in layers.items()}
    dtype = numpy_dtype(header.dtype).newbyteorder("<")
    _keep_freed_memory(header)
    with atomic_path(path, header.byte_count) as temporary:
        offsets = lay_out(temporary, slots, names)
        with WriteBehind(temporary) as file:
            for name, array in extra.items():
                file.write(offsets[f"{NORMALIZATION_LAYER}/{name}"], array)
            for tensor in header.all_tensors:
                values = np.asarray(source(tensor))
                if values.dtype != dtype:
                    with np.errstate(over="ignore"):
                        values = values.astype(dtype)
                # After the cast: float16 ends at 65,504.
                _check_values(str(path), tensor, values)
                file.write(offsets[tensor.name], values)
                if progress is not None:
                    progress(values.nbytes)
                del values
        checksums = {name: file.checksums[offset] for name, offset in offsets.items()}
        # The names that make it a weight file come last: an interrupted file is none.
        header = final_header() if final_header else header
        _finish(temporary, list(layers), header, donor_map or {}, checksums)


def _keep_freed_memory(header: WeightHeader) -> None:
    """Have the C library keep freed memory for the next tensor.

    glibc hands larger blocks back to the system, and learns what is large from the largest block
    freed so far. Without this the pages of every tensor are faulted in anew, which doubles the time of
    a conversion. The block is never touched, so it costs no memory.
    """
    largest = max(tensor.size for tensor in header.all_tensors) * numpy_dtype(header.dtype).itemsize
    block = np.empty(min(largest, _LEARNED_BYTES), np.uint8)
    del block


def _finish(
    path: Path,
    layers: list[str],
    header: WeightHeader,
    donor_map: Mapping[str, np.ndarray],
    checksums: dict[str, int],
) -> None:
    import h5py

    with h5py.File(path, "r+") as file:
        unlisted = {HEAD_LAYER, *(t.layer for part in header.parts.values() for t in part.tensors)}
        _write_names(file, "layer_names", [layer for layer in layers if layer not in unlisted])
        file.attrs["backend"] = np.bytes_("tensorflow")
        file.attrs["keras_version"] = np.bytes_("3.15.1")
        text = header.to_json()
        file.attrs[HEADER_ATTRIBUTE] = text
        checksums[HEADER_ATTRIBUTE] = crc32_of_text(text)
        for group, donors in donor_map.items():
            name, values = f"{DONOR_MAP_GROUP}/{group}", np.asarray(donors, np.uint8)
            file.create_dataset(name, data=values, track_times=False)
            checksums[name] = crc32(values)
        file.attrs[CHECKSUMS_ATTRIBUTE] = checksums_to_json(checksums)


class WeightFile:
    """An open weight file: its header at once, its tensors one at a time.

    Opening compares names, shapes and dtypes with the header's architecture and
    refuses links, external storage and oversize declarations, before any tensor
    is read. What is read is compared with its checksum.

    Args:
        path: A file that `write_weights` made.

    Raises:
        UnreadableCheckpointError: Missing, truncated or not HDF5.
        UnsafeCheckpointError: The file points outside itself or declares too much.
        WeightFileError: Not one of ours, or damaged; all problems are listed.

    Example:
        >>> with WeightFile("efn_magic_weights.h5") as file:  # doctest: +SKIP
        ...     file.read("stem_conv/kernel").shape
        (3, 3, 3, 32)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open_hdf5(path)
        # h5py needs longer for a dataset than the values of a small one take.
        self._source = SourceFile(self.path)
        try:
            with damage_refused(path):
                self._source.open()
                datasets = self._datasets()
                self._check_heaps(datasets)
                self.header = self._read_header()
                self._check_tensors(datasets)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "WeightFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()
        self._file.close()

    def read(self, name: str) -> np.ndarray:
        """Return one tensor by canonical name, in the file's dtype (of bfloat16, as float32).

        Raises:
            UnreadableCheckpointError: The checksum is wrong.
            WeightFileError: A value is not finite, or a variance is negative.
        """
        tensor, dtype = self._by_name[name], numpy_dtype(self.header.dtype).newbyteorder("<")
        offset, crc = self._offsets[name], self._checksums.get(name)
        where = f"{self.path}: {name}"
        if offset is None:
            with damage_refused(where):
                values = safe_member(self._file, name)[()].astype(dtype, copy=False)
            check(str(self.path), self._checksums, name, crc32(values))
        else:
            values = StoredValues(self._source, lambda: offset, tensor.shape, dtype, crc, where)()
        if self.header.dtype == "bfloat16":
            values = values.astype(np.float32)
        if crc is None:
            # A checksum says that these are the values which the writer has looked at.
            _check_values(str(self.path), tensor, values)
        return values

    def read_all(self, dtype: str = "float32") -> dict[str, np.ndarray]:
        """Return all tensors of backbone and head by canonical name, in network order."""
        return {t.name: self.read(t.name).astype(dtype, copy=False) for t in self.header.tensors}

    def read_part(self, name: str, dtype: str = "float32") -> Part:
        """Return a further part.

        Raises:
            WeightFileError: The file has no such part.
        """
        if name not in self.header.parts:
            has = ", ".join(part_names(self.header.classes, self.header.parts))
            raise WeightFileError(f"{self.path}: no part {name!r}; the file has {has}.")
        header = self.header.parts[name]
        read = {t.name: self.read(t.name).astype(dtype, copy=False) for t in header.tensors}
        return Part(read, header.settings)

    def read_donor_map(self) -> dict[str, np.ndarray]:
        """Return the donor number of each channel by group name; empty if not composed."""
        if DONOR_MAP_GROUP not in self._file:
            return {}
        found = {}
        with damage_refused(self.path):
            for name in safe_member(self._file, DONOR_MAP_GROUP):
                path = f"{DONOR_MAP_GROUP}/{name}"
                found[name] = safe_member(self._file, path)[()]
                check(str(self.path), self._checksums, path, crc32(found[name]))
        return found

    def _read_header(self) -> WeightHeader:
        text = self._file.attrs.get(HEADER_ATTRIBUTE)
        if not isinstance(text, str):
            raise WeightFileError(
                f"{self.path}: an HDF5 file, but not an efn_compose weight file (it has no attribute "
                f"{HEADER_ATTRIBUTE!r}). Convert it first: efn-compose convert {self.path} -o OUT.h5"
            )
        checksums = self._file.attrs.get(CHECKSUMS_ATTRIBUTE)
        self._checksums = checksums_from_json(self.path, checksums)
        check(str(self.path), self._checksums, HEADER_ATTRIBUTE, crc32_of_text(text))
        try:
            return WeightHeader.from_json(text)
        except WeightFileError as error:
            raise WeightFileError(f"{self.path}: {error}.") from None

    def _check_heaps(self, datasets: Mapping[str, Any]) -> None:
        """Look at what the header is read from; what lies in datasets is no text."""
        import h5py

        ids = [node.id for node in datasets.values() if isinstance(node, h5py.Dataset)]
        places = [(each.get_offset(), each.get_storage_size()) for each in ids]
        contiguous = [(first, length) for first, length in places if first is not None]
        check_heaps(self._source, self._file.id.get_filesize(), contiguous)

    def _check_tensors(self, datasets: Mapping[str, Any]) -> None:
        import h5py

        self._by_name = {tensor.name: tensor for tensor in self.header.all_tensors}
        #: Byte where values begin; None where they are not one piece, as after a repacking.
        self._offsets: dict[str, int | None] = {}
        present = set(datasets)
        problems = [f"- missing: {name}" for name in self._by_name if name not in present]
        problems += [f"+ unknown: {name}" for name in sorted(present - set(self._by_name))]
        if self._checksums:
            without = [name for name in self._by_name if name not in self._checksums]
            problems += [f"- no checksum: {name}" for name in without]
        for name, tensor in self._by_name.items():
            if name not in present:
                continue
            dataset = datasets[name]
            if not isinstance(dataset, h5py.Dataset):
                problems.append(f"≠ no dataset: {name}")
                continue
            if name not in self._checksums:
                check_dataset(dataset)
            self._offsets[name] = dataset.id.get_offset()
            if dataset.shape != tensor.shape:
                problems.append(f"≠ shape: {name} file {dataset.shape} expected {tensor.shape}")
            elif dataset.id.get_type() != stored_type(self.header.dtype):
                problems.append(
                    f"≠ dtype: {name} file {dataset.dtype} expected {self.header.dtype}"
                )
        if problems:
            raise WeightFileError(
                describe_problems(
                    f"{self.path} does not match its own architecture {self.header.spec.variant!r}.",
                    problems,
                    "The file is damaged; fetch or write it again.",
                )
            )

    def _datasets(self) -> dict[str, Any]:
        """Return what lies where datasets do, open, by name, every link on the way checked."""
        import h5py

        found = {}
        for layer in self._file:
            if layer in (DONOR_MAP_GROUP, NORMALIZATION_LAYER):
                continue
            group = safe_member(self._file, layer, is_checked_later=True)
            if isinstance(group, h5py.Group):
                for role in group:
                    found[f"{layer}/{role}"] = safe_member(group, role, is_checked_later=True)
            else:
                found[layer] = group
        return found


def is_weight_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is an HDF5 file that says efn_compose wrote it.

    Example:
        >>> is_weight_file("no such file")
        False
    """
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        if file.read(8) != b"\x89HDF\r\n\x1a\n":
            return False
    with open_hdf5(path) as file:
        return HEADER_ATTRIBUTE in file.attrs


def _from_mapping(tensors: Mapping[str, np.ndarray]) -> TensorSource:
    return lambda tensor: tensors[tensor.name]


def _check_names(where: str, header: WeightHeader, tensors: Mapping[str, np.ndarray]) -> None:
    expected = {tensor.name for tensor in header.all_tensors}
    problems = [f"- missing: {name}" for name in sorted(expected - set(tensors))]
    problems += [f"+ unknown: {name}" for name in sorted(set(tensors) - expected)]
    if problems:
        raise WeightFileError(
            describe_problems(f"{where}: cannot write {header.spec.variant!r}.", problems)
        )


def _check_values(where: str, tensor: TensorSpec, values: np.ndarray) -> None:
    if values.shape != tensor.shape:
        raise WeightFileError(
            f"{where}: {tensor.name}: shape {values.shape}, expected {tensor.shape}."
        )
    if not all_finite(values):
        hint = " (float16 ends at 65,504; use float32)" if values.dtype == np.float16 else ""
        raise WeightFileError(f"{where}: {tensor.name}: contains NaN or infinity{hint}.")
    if tensor.role == "moving_variance" and values.size and values.min() < 0:
        raise WeightFileError(f"{where}: {tensor.name}: negative variance {values.min()}.")


def _write_names(file: Any, attribute: str, names: list[str]) -> None:
    """Write a list of names, split over numbered attributes where HDF5's limit asks for it."""
    array = np.array(names, dtype="S")
    limit = 64_000
    if array.nbytes <= limit:
        file.attrs[attribute] = array
        return
    for number, part in enumerate(np.array_split(array, -(-array.nbytes // limit))):
        file.attrs[f"{attribute}{number}"] = part
