"""Images without labels, from the same kinds of sources as labelled ones."""

from efn_compose.data.sources import load_table
from efn_compose.data.table import ImageSequence


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
    return load_table(source, needs_labels=False).images
