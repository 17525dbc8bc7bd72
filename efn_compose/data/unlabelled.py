"""Images without labels, from the same kinds of sources as labelled ones."""

import os
from pathlib import Path

from efn_compose.data.decode import ImageFiles
from efn_compose.data.sources import load_table
from efn_compose.data.sources.folder import image_files
from efn_compose.data.table import ImageSequence
from efn_compose.errors import DataError


def load_unlabelled(source: str) -> ImageSequence:
    """Return the images of a source and ignore its labels.

    Args:
        source: "folder:PATH" with images anywhere below, or any other source of `load_table`.

    Raises:
        DataError: Unknown source, or there are no images.

    Example:
        >>> len(load_unlabelled("digits"))
        1797
    """
    kind, _, path = source.partition(":")
    if kind != "folder" or not path:
        return load_table(source).images
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (seen from {Path.cwd()}).")
    files = image_files(root)
    if not files:
        raise DataError(f"{root}: no images below this folder.")
    return ImageFiles(files)
