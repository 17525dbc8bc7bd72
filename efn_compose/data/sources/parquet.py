"""Parquet files with encoded images, as Hugging Face writes them."""

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.data.decoding.decode import decode_bytes
from efn_compose.data.identity import file_identity, file_sample
from efn_compose.data.sources.shards import find_names, float_labels, numbered, shard_files
from efn_compose.data.table import UNLABELLED, ImageError, ImageTable, printable
from efn_compose.errors import ConfigError, DataError, describe_problems, first_of

#: Groups of rows whose images are kept at a time.
_GROUPS_KEPT = 4
#: Differences between files that a message lists.
_LISTED = 10
#: Columns that hold encoded images.
_BYTES, _STRUCTURE = "bytes", "a structure with 'bytes'"


def load_parquet(
    path: str | os.PathLike[str], columns: Sequence[str] = (), *, needs_labels: bool = True
) -> ImageTable:
    """Return the images of Parquet files; of labels and patients the columns alone are read.

    Args:
        path: A file, a pattern such as "train-*.parquet", or a folder of such files. The image is
            a column of bytes, or one of structures with `bytes`. Names of classes are taken from
            the metadata that Hugging Face writes.
        columns: "image=NAME", "label=NAME", "patient=NAME" each: the names of the columns.
        needs_labels: Whether every row must have a label.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: No such file, columns of other names (those present are listed), labels that are
            fractions, or a damaged file.

    Example:
        >>> load_parquet("train-*.parquet").class_names  # doctest: +SKIP
        ('cat', 'dog')
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise ConfigError("Parquet needs pyarrow: pip install 'efn_compose[tables]'.") from None
    files, source = shard_files(path, (".parquet",)), f"parquet:{path}"
    opened = [_open(file) for file in files]
    schema = opened[0].schema_arrow
    names = find_names(
        source, {field.name: str(field.type) for field in schema}, columns, needs_labels
    )
    _require_alike(source, files, opened, names)
    image = _kind(schema, names["image"])
    if image not in (_BYTES, _STRUCTURE):
        raise DataError(
            f"{source}: the image {names['image']!r} is {image}, expected bytes, or a structure "
            "with 'bytes'."
        )
    if "label" in names and pa.types.is_floating(schema.field(names["label"]).type):
        raise float_labels(source, names["label"], str(schema.field(names["label"]).type))
    kept = [name for column, name in names.items() if column != "image"]
    tables = [_columns(file, one, kept) for file, one in zip(files, opened, strict=True)]
    rows = sum(one.metadata.num_rows for one in opened)
    labels, class_names = np.full(rows, UNLABELLED, np.int32), tuple[str, ...]()
    if "label" in names:
        labels, class_names = _labels(source, tables, names["label"], schema, needs_labels)
    groups, group_names = None, None
    if "patient" in names:
        groups, group_names = numbered(
            source, *_values(source, tables, names["patient"]), True, "patient"
        )
    sizes = [
        [one.metadata.row_group(n).num_rows for n in range(one.num_row_groups)] for one in opened
    ]
    return ImageTable(
        images=ParquetImages(files, sizes, names["image"], image == _STRUCTURE),
        labels=labels,
        class_names=class_names,
        name=source,
        groups=groups,
        group_names=group_names,
    )


class ParquetImages:
    """Images in rows of Parquet files; groups of rows are read as a whole, the last ones kept.

    Args:
        files: The files.
        sizes: Rows of each group, by file.
        column: The image's column.
        is_structure: Whether it holds structures with `bytes`.
    """

    def __init__(
        self,
        files: Sequence[Path],
        sizes: Sequence[Sequence[int]],
        column: str,
        is_structure: bool,
    ) -> None:
        self._files, self._column = tuple(files), f"{column}.bytes" if is_structure else column
        self._groups = [(file, n) for file, rows in enumerate(sizes) for n in range(len(rows))]
        self._starts = np.cumsum([0, *(count for rows in sizes for count in rows)])
        self._is_structure = is_structure
        self._forget()

    def _forget(self) -> None:
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._reading = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {
            key: value for key, value in self.__dict__.items() if key not in ("_kept", "_reading")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int, /) -> np.ndarray:
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        content = self._group(group)[index - int(self._starts[group])].as_py()
        if content is None:
            raise ImageError(f"{self.name_of(index)}: no image")
        return decode_bytes(content, self.name_of(index))

    def name_of(self, index: int) -> str:
        """Return the file, and the row in the source."""
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        return f"{printable(self._files[self._groups[group][0]])} row {index} of the source"

    def identities(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield what each image is known by without being decoded."""
        files = [file_identity(file) for file in self._files]
        groups = np.searchsorted(self._starts, numbers, side="right") - 1
        for number, group in zip(numbers, groups, strict=True):
            yield files[self._groups[group][0]] + f"\0{self._column}\0{number}".encode()

    def samples(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield what tells each image's file from others, and the image's place in it."""
        files = [file_sample(file) for file in self._files]
        groups = np.searchsorted(self._starts, numbers, side="right") - 1
        for number, group in zip(numbers.tolist(), groups.tolist(), strict=True):
            file, place = self._groups[group][0], number - int(self._starts[group])
            which = f"\0{self._column}\0{self._groups[group][1]}\0{place}"
            yield files[file] + which.encode()

    def _group(self, group: int) -> Any:
        """Return the images' bytes of a group of rows."""
        import pyarrow as pa

        with self._reading:
            if group not in self._kept:
                file, number = self._groups[group]
                try:
                    table = _open(self._files[file]).read_row_group(number, columns=[self._column])
                except (pa.ArrowException, OSError) as error:
                    raise ImageError(
                        f"{printable(self._files[file])}: {_first_line(error)}"
                    ) from None
                column = table.column(0).combine_chunks()
                if self._is_structure:
                    column = column.field("bytes")
                self._kept[group] = column
                while len(self._kept) > _GROUPS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(group)
            return self._kept[group]


def _open(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        return pa.parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file}: not a Parquet file, or truncated ({_first_line(error)}). Copy it again."
        ) from None


def _require_alike(
    source: str, files: Sequence[Path], opened: Sequence[Any], names: Mapping[str, str]
) -> None:
    """Raise `DataError` unless all files have the columns that are read, with one type each."""
    first, *others = (one.schema_arrow for one in opened)
    problems = [
        f"- {printable(file)}: {name} is {found}, expected {expected}"
        for file, schema in zip(files[1:], others, strict=True)
        for name in sorted(names.values())
        if (found := _kind(schema, name)) != (expected := _kind(first, name))
    ]
    if problems:
        raise DataError(
            describe_problems(
                f"{source}: its files differ. The first one is {printable(files[0])}.",
                first_of(problems, _LISTED),
                "Name files of one kind, or write these alike.",
            )
        )


def _kind(schema: Any, name: str) -> str:
    """Return the type of a column in words; of what holds an image's bytes, only that it does."""
    import pyarrow as pa

    if name not in schema.names:
        return "missing"
    kind = schema.field(name).type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _BYTES
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return _STRUCTURE
    return str(kind)


def _columns(file: Path, opened: Any, names: Sequence[str]) -> Any:
    import pyarrow as pa

    try:
        return opened.read(columns=list(names))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: damaged ({_first_line(error)}). Copy it again.") from None


def _values(source: str, tables: Sequence[Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's values, and which are known."""
    import pyarrow as pa

    kind = tables[0].column(name).type
    chunks = [chunk for table in tables for chunk in table.column(name).chunks]
    column = pa.chunked_array(chunks, type=kind)
    is_known = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
    try:
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return np.asarray(column.cast(pa.int64()).fill_null(0).to_numpy()), is_known
        texts = column.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise DataError(
            f"{source}: the column {name!r} is {kind}, expected integers or words ({_first_line(error)}). "
            "Name another one: data.columns = ['label=NAME']."
        ) from None
    words = np.asarray(texts, dtype=object)
    return words, is_known & (words != "")


def _labels(
    source: str, tables: Sequence[Any], name: str, schema: Any, needs_labels: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    values, is_known = _values(source, tables, name)
    names = _class_names(schema, name)
    if not names or values.dtype == object:
        return numbered(source, values, is_known, needs_labels)
    # Hugging Face writes -1 where a label is not given.
    is_known &= values != UNLABELLED
    labels, _ = numbered(source, values, is_known, needs_labels)
    labels[is_known] = values[is_known]
    if labels.size and (labels.max() >= len(names) or labels.min() < UNLABELLED):
        raise DataError(
            f"{source}: labels {labels.min()} to {labels.max()}, but the file names {len(names)} classes."
        )
    return labels, names


def _class_names(schema: Any, name: str) -> tuple[str, ...]:
    """Return the names that Hugging Face's metadata gives the classes; none where it does not."""
    try:
        text = (schema.metadata or {})[b"huggingface"]
        return tuple(map(str, json.loads(text)["info"]["features"][name]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:200]
