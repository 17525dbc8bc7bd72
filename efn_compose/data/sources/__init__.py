"""Where images come from: one file per source, one table to choose by."""

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from efn_compose.data.decoding.grey_depth import dark_note
from efn_compose.data.sources.csv_file import load_csv
from efn_compose.data.sources.digits import load_digits
from efn_compose.data.sources.fashion_mnist import load_fashion_mnist
from efn_compose.data.sources.folder import load_folder
from efn_compose.data.sources.npz_file import load_npz
from efn_compose.data.sources.parquet import load_parquet
from efn_compose.data.sources.tar import load_tar
from efn_compose.data.sources.tfrecord import load_tfrecord
from efn_compose.data.table import ImageTable, alike_note
from efn_compose.errors import DataError

#: Sources that need no path.
NAMED_SOURCES: dict[str, Callable[[], ImageTable]] = {
    "digits": load_digits,
    "fashion_mnist": load_fashion_mnist,
}
#: Sources written as `kind:PATH`.
PATH_SOURCES: dict[str, Callable[..., ImageTable]] = {
    "folder": load_folder,
    "npz": load_npz,
    "csv": load_csv,
    "tfrecord": load_tfrecord,
    "parquet": load_parquet,
    "tar": load_tar,
}
#: Of these, those whose columns have names.
COLUMN_SOURCES = ("csv", "tfrecord", "parquet", "tar")

__all__ = ["NAMED_SOURCES", "PATH_SOURCES", "load_table"]


def load_table(
    source: str,
    columns: Sequence[str] = (),
    folder: str = "",
    *,
    needs_labels: bool = True,
    needs_masks: bool = False,
) -> ImageTable:
    """Return the images and labels of a source.

    Args:
        source: "digits", "fashion_mnist", "folder:PATH", "npz:PATH", "csv:PATH", "tfrecord:PATH",
            "parquet:PATH" or "tar:PATH"; relative paths start at the working directory. The paths
            of the last three may be patterns, such as "tar:shards/*.tar".
        columns: "image=NAME", "label=NAME", "patient=NAME" each: the columns of one of the last
            four.
        folder: A folder that the image paths of a csv source may start from.
        needs_labels: Whether every image must have a label. Otherwise a folder without classes,
            an archive without `labels`, and a csv without labels are taken as well; the label of
            an image without one is `UNLABELLED`.
        needs_masks: Whether the rows of a csv source must name masks. An archive has its masks
            anyway; `with_mask_files` finds those beside image files.

    Raises:
        DataError: Unknown source, or its files are missing or damaged; columns or a folder are
            named for a source that has none.

    Example:
        >>> len(load_table("digits"))
        1797
    """
    table = _load(source, columns, folder, needs_labels, needs_masks)
    notes = alike_note(table.class_names) + dark_note(table.images)
    return replace(table, notes=table.notes + notes)


def _load(
    source: str, columns: Sequence[str], folder: str, needs_labels: bool, needs_masks: bool
) -> ImageTable:
    kind, colon, path = source.partition(":")
    if colon and path and kind == "csv":
        return load_csv(
            os.path.expanduser(path),
            columns,
            folder,
            needs_labels=needs_labels,
            needs_masks=needs_masks,
        )
    if folder:
        raise DataError(f"An image folder (data.folder) is that of csv:PATH. Received: {source!r}.")
    if colon and path and kind in COLUMN_SOURCES:
        return PATH_SOURCES[kind](os.path.expanduser(path), columns, needs_labels=needs_labels)
    if columns:
        with_columns = ", ".join(f"{name}:PATH" for name in COLUMN_SOURCES)
        raise DataError(
            f"Columns (data.columns) are those of {with_columns}. Received: {source!r}."
        )
    if not colon and source in NAMED_SOURCES:
        return NAMED_SOURCES[source]()
    if colon and path and kind in PATH_SOURCES:
        # A shell leaves the tilde behind a colon alone.
        return PATH_SOURCES[kind](os.path.expanduser(path), needs_labels=needs_labels)
    allowed = [*NAMED_SOURCES, *(f"{name}:PATH" for name in PATH_SOURCES)]
    if not source:
        raise DataError(
            f"data.source is empty: no images are named. Allowed: {', '.join(allowed)}. "
            "Name yours, such as --set data.source=folder:photos."
        )
    raise DataError(
        f"Unknown data source {source!r}.{_suggest(source)} Allowed: {', '.join(allowed)}."
    )


def _suggest(source: str) -> str:
    if os.path.exists(os.path.expanduser(source)):
        suffix = os.path.splitext(source)[1].removeprefix(".").lower()
        kind = suffix if suffix in PATH_SOURCES else "folder"
        return f" Did you mean '{kind}:{source}'?"
    kind, _, path = source.partition(":")
    candidates = [*NAMED_SOURCES, *PATH_SOURCES]
    close = difflib.get_close_matches(kind.lower().replace("-", "_"), candidates, n=1)
    if not close:
        return ""
    if close[0] in NAMED_SOURCES:
        return f" Did you mean {close[0]!r}?"
    return f" Did you mean '{close[0]}:{path or 'PATH'}'?"
