"""Image files to RGB pixels, and any images to one size."""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.data.decoding.bands import resized, rgb_pixels, room_for
from efn_compose.data.decoding.opening import read_image, upright, upright_shape
from efn_compose.data.identity import file_identity, file_sample
from efn_compose.data.path_list import PathList
from efn_compose.data.table import ChosenImages, ImageError, ImageSequence
from efn_compose.errors import DataError, describe_problems, first_of
from efn_compose.store.environment import usable_cores

if TYPE_CHECKING:
    from PIL import Image

#: Seconds of decoding after which a progress bar appears on a terminal.
PROGRESS_AFTER_SECONDS = 2.0
#: Images that wait for a thread at a time, and those that it takes in one go: to hand over one costs a
#: sixth of its decoding. Each thread gets at least so many groups.
_PART, _GROUP, _GROUPS_EACH = 4096, 16, 8
#: Failed files that a message lists by name.
LISTED_FAILURES = 50


def decode_file(path: str | os.PathLike[str], size: int = 0) -> np.ndarray:
    """Return the pixels of an image file as RGB.

    Turned upright by its EXIF orientation. Greyscale is repeated over the channels;
    16-bit grey is scaled from 0-65535 to 0-255, with one fixed factor so that intensities
    stay comparable between images; transparency is laid over white; CMYK and palettes are
    converted; of an animation the first frame is taken.

    Args:
        path: Any format Pillow reads.
        size: Height and width to bring it to, as `resize_image` does; 0: its own.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ImageError: Missing, truncated, not an image, too large, or floating-point pixels.

    Example:
        >>> decode_file("lesion.jpg").shape  # doctest: +SKIP
        (480, 640, 3)
    """
    return _decode(path, path, size)


def decode_bytes(content: bytes, name: str) -> np.ndarray:
    """Return the pixels of an encoded image as RGB, as `decode_file` does.

    Args:
        content: The bytes of a file of any format that Pillow reads.
        name: Of the image, for messages.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ImageError: As `decode_file`.

    Example:
        >>> decode_bytes(open("lesion.jpg", "rb").read(), "lesion").shape  # doctest: +SKIP
        (480, 640, 3)
    """
    return _decode(content, name)


def shape_of_file(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return height and width of an image file as `decode_file` would turn it, from its header.

    Args:
        path: Any format Pillow reads.

    Raises:
        ImageError: Missing, not an image, or too large.

    Example:
        >>> shape_of_file("lesion.jpg")  # doctest: +SKIP
        (480, 640)
    """
    return read_image(path, path, upright_shape)


def _decode(source: str | os.PathLike[str] | bytes, name: object, size: int = 0) -> np.ndarray:
    def read(image: "Image.Image") -> np.ndarray:
        with room_for(image):
            return rgb_pixels(upright(image), size)

    return read_image(source, name, read)


class ImageFiles:
    """Image files as a sequence of images, decoded when asked for.

    Args:
        paths: The files.
    """

    def __init__(self, paths: Iterable[Path] | PathList) -> None:
        self.paths = paths if isinstance(paths, PathList) else PathList(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return decode_file(self.paths[index])

    def resized(self, index: int, size: int) -> np.ndarray:
        """Return an image at a size, or at its own for 0."""
        return decode_file(self.paths[index], size)

    def shape_of(self, index: int) -> tuple[int, int]:
        """Return height and width of an image, from its file's header."""
        return shape_of_file(self.paths[index])

    def name_of(self, index: int) -> str:
        """Return the path of an image."""
        return str(self.paths[index])

    def identities(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield what each image is known by without being decoded."""
        for number in numbers.tolist():
            yield file_identity(self.paths.name(number))

    def samples(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield the length of each file and some of its bytes."""
        for number in numbers.tolist():
            yield file_sample(self.paths.name(number))


def for_each_image(
    images: ImageSequence,
    numbers: np.ndarray,
    work: Callable[[int, np.ndarray], None],
    show_progress: bool = True,
    size: int = 0,
) -> list[tuple[int, str]]:
    """Decode images on all cores and do something with each.

    Args:
        images: RGB uint8 images by number.
        numbers: The wanted images.
        work: Gets the place in `numbers` and the pixels; called from several threads.
        show_progress: Show a bar on a terminal when it takes more than two seconds.
        size: Height and width to bring them to; 0: their own.

    Returns:
        Place and reason of each image that cannot be decoded, in order of places.
    """
    failures: list[tuple[int, str]] = []
    # In the source's order: what lies together, such as a group of a Parquet file, is read once.
    places = np.argsort(numbers, kind="stable")

    def visit(turn: int) -> None:
        place = int(places[turn])
        try:
            pixels = _read(images, int(numbers[place]), size)
        except ImageError as error:
            failures.append((place, str(error)))
            return
        work(place, pixels)

    # Pillow lets go of the interpreter lock while it decodes and resizes.
    with (
        ThreadPoolExecutor(cores := usable_cores()) as pool,
        # Closed before the pool waits for its threads: after an interruption nothing new begins.
        closing(_visited(pool, visit, len(numbers), cores)) as done,
        closing(with_progress(done, len(numbers), show_progress)) as ticks,
    ):
        for _ in ticks:
            pass
    return sorted(failures)


def _visited(
    pool: ThreadPoolExecutor, visit: Callable[[int], None], count: int, threads: int
) -> Generator[None]:
    """Visit all places in a pool, a part at a time: millions of waiting calls are gigabytes."""
    each = min(_GROUP, max(1, count // (threads * _GROUPS_EACH)))

    def visit_group(start: int, end: int) -> int:
        for place in range(start, end):
            visit(place)
        return end - start

    for first in range(0, count, _PART):
        last = min(first + _PART, count)
        starts = range(first, last, each)
        groups = [
            pool.submit(visit_group, start, end)
            for start, end in zip(starts, [*starts[1:], last], strict=True)
        ]
        try:
            # As they end: a large image holds up the count of its own group alone.
            for group in as_completed(groups):
                yield from [None] * group.result()
        finally:
            for group in groups:
                group.cancel()


def undecodable(failures: Sequence[tuple[int, str]], total: int, what: str = "images") -> DataError:
    """Return the error that lists images, or masks, which cannot be decoded."""
    reasons = sorted(reason for _, reason in failures)
    return DataError(
        describe_problems(
            f"{len(reasons)} of {total} {what} cannot be decoded.",
            first_of((f"- {reason}" for reason in reasons), LISTED_FAILURES),
            "Replace or remove these files and start again. Searches, trainings and pretrainings can "
            "leave a share of them out (unreadable_share), and so can folds (--skip-unreadable).",
        )
    )


def resize_images(
    images: ImageSequence, indices: np.ndarray, size: int, show_progress: bool = True
) -> np.ndarray:
    """Decode some images and bring them to one size.

    Bilinear with antialiasing; the aspect ratio is not kept.

    Args:
        images: RGB uint8 images by number.
        indices: Numbers of the wanted images, in the wanted order.
        size: Height and width in pixels.
        show_progress: Show a bar on a terminal when it takes more than two seconds.

    Returns:
        (image, size, size, 3) uint8.

    Raises:
        DataError: Some images cannot be decoded; all of them are listed with reasons.

    Example:
        >>> resize_images(np.zeros((5, 8, 8, 3), np.uint8), np.arange(2), 32).shape
        (2, 32, 32, 3)
    """
    resized = np.empty((len(indices), size, size, 3), np.uint8)

    def place(position: int, pixels: np.ndarray) -> None:
        resized[position] = pixels

    failures = for_each_image(images, indices, place, show_progress, size)
    if failures:
        raise undecodable(failures, len(indices))
    return resized


def _read(images: ImageSequence, number: int, size: int) -> np.ndarray:
    """Return an image, resized where a size is given; files without a copy of their own size."""
    if isinstance(images, ChosenImages):
        return _read(*images.source_of(number), size)
    if isinstance(images, ImageFiles):
        return images.resized(number, size)
    return resize_image(images[number], size) if size else images[number]


def resize_image(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return an image (height, width, 3) uint8 as (size, size, 3): bilinear, antialiased.

    Example:
        >>> resize_image(np.full((4, 6, 3), 7, np.uint8), 2).tolist()[0][0]
        [7, 7, 7]
    """
    from PIL import Image

    if pixels.shape == (size, size, 3):
        return pixels
    return np.asarray(resized(Image.fromarray(pixels), size))


def with_progress(items: Iterable[None], count: int, show: bool) -> Generator[None]:
    """Yield the items; draw a bar on standard error once it has taken a while."""
    if not (show and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    # The pace of all so far: images end in groups, and between two of them lies a wait.
    progress = Progress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=3600.0
    )
    task = progress.add_task("Reading images", total=count)
    began = time.monotonic()
    is_shown = False
    try:
        for item in items:
            yield item
            progress.advance(task)
            if not is_shown and time.monotonic() - began > PROGRESS_AFTER_SECONDS:
                progress.start()
                is_shown = True
    finally:
        if is_shown:
            progress.stop()
