"""Images of a table in chunks, the next one decoded while the present one is asked about."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from efn_compose.data import ImageTable
from efn_compose.data.decoding.decode import for_each_image, undecodable

#: Images in memory at a time, decoded or being decoded: twice this. A multiple of every batch.
CHUNK = 256


def stream_images(
    table: ImageTable, sizes: Sequence[int], numbers: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, dict[int, np.ndarray]]]:
    """Yield numbers and pixels of chunk after chunk; memory holds two chunks, however long the table.

    Args:
        table: The images.
        sizes: Heights and widths in pixels.
        numbers: The wanted images in order; default all.

    Yields:
        (image,) numbers, and by size (image, size, size, 3) uint8.

    Raises:
        DataError: Images cannot be decoded; all of the whole table are listed.
    """
    wanted = np.arange(len(table)) if numbers is None else np.asarray(numbers)
    chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
    with ThreadPoolExecutor(1) as ahead:
        coming = [ahead.submit(read_chunk, table, sizes, chunk) for chunk in chunks[:1]]
        for place, chunk in enumerate(chunks):
            pixels, failures = coming.pop().result()
            if failures:
                rest = np.concatenate([[], *chunks[place + 1 :]]).astype(np.int64)
                failures += for_each_image(table.images, rest, lambda place, pixels: None, False)
                raise undecodable(failures, len(table))
            if place + 1 < len(chunks):
                coming.append(ahead.submit(read_chunk, table, sizes, chunks[place + 1]))
            yield chunk, pixels


def read_chunk(
    table: ImageTable, sizes: Sequence[int], numbers: np.ndarray
) -> tuple[dict[int, np.ndarray], list[tuple[int, str]]]:
    """Return the pixels of some images by size, and place and reason of each that cannot be decoded.

    Args:
        table: The images.
        sizes: Heights and widths in pixels.
        numbers: The wanted images.
    """
    # Each size is decoded for itself, as a training decodes it: the same bits come out.
    pixels: dict[int, np.ndarray] = {}
    failures: list[tuple[int, str]] = []
    for size in sizes:
        array = pixels[size] = np.empty((len(numbers), size, size, 3), np.uint8)
        failures = for_each_image(table.images, numbers, array.__setitem__, False, size)
        if failures:
            break
    return pixels, failures
