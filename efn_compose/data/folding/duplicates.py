"""Images that lie in two splits: equal by their pixels, or similar by their embeddings."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from efn_compose.data.cache.images import CachedImages
from efn_compose.data.decoding.decode import for_each_image, undecodable
from efn_compose.data.pixels import once_if_cached
from efn_compose.data.table import UNLABELLED, ImageSequence, ImageTable
from efn_compose.errors import ConfigError, first_of

#: Images that a note lists.
_LISTED = 5
#: Rows compared at a time; bounds memory to this times the number of images.
_ROWS = 1024


@dataclass(frozen=True)
class Duplicate:
    """Two images of different parts that are one.

    Args:
        first: Image number.
        second: Image number, larger.
        cosine: Similarity of their embeddings, 1.0 for equal pixels.
    """

    first: int
    second: int
    cosine: float = 1.0


def pixel_digests(images: ImageSequence, show_progress: bool = True) -> list[str]:
    """Return the SHA-256 of each image's size and pixels; equal files in other formats agree.

    Those of images in the cache are worked out once and kept beside them.

    Raises:
        DataError: Some images cannot be decoded; all of them are listed with reasons.

    Example:
        >>> one, two = pixel_digests(np.zeros((2, 4, 4, 3), np.uint8))
        >>> one == two
        True
    """
    if isinstance(images, CachedImages):
        found = once_if_cached(
            [images], "digests", lambda: " ".join(_digests(images, show_progress))
        )
        return found.split()
    return _digests(images, show_progress)


def _digests(images: ImageSequence, show_progress: bool) -> list[str]:
    digests = [""] * len(images)

    def place(number: int, pixels: np.ndarray) -> None:
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).data)
        digests[number] = digest.hexdigest()

    failures = for_each_image(images, np.arange(len(images)), place, show_progress)
    if failures:
        raise undecodable(failures, len(images))
    return digests


def join_duplicates(
    groups: np.ndarray | None, pairs: Iterable[tuple[int, int]], count: int
) -> np.ndarray:
    """Return patient numbers under which duplicates are one patient, so that no fold parts them.

    Args:
        groups: (image,) patient numbers; None where every image is its own patient.
        pairs: Image numbers that belong together; images connected by pairs and
            patients becomes one.
        count: Number of images.

    Example:
        >>> join_duplicates(np.array([7, 7, 8, 9]), [(1, 3)], 4).tolist()
        [0, 0, 1, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    edges = numbers[np.array(list(pairs), np.int64).reshape(-1, 2)]
    nodes = int(numbers.max(initial=-1)) + 1
    links = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(nodes, nodes))
    return connected_components(links, directed=False)[1].astype(np.int32)[numbers]


def equal_pairs(digests: list[str]) -> list[tuple[int, int]]:
    """Return each image with the first one that equals it: enough to join them all.

    Example:
        >>> equal_pairs(["a", "b", "a", "a"])
        [(0, 2), (0, 3)]
    """
    first: dict[str, int] = {}
    return [
        (first[digest], number)
        for number, digest in enumerate(digests)
        if first.setdefault(digest, number) != number
    ]


def contradiction_notes(table: ImageTable, digests: list[str]) -> list[str]:
    """Return a sentence about images that are equal and of different classes; nothing without any.

    Args:
        table: The images.
        digests: One per image.

    Example:
        >>> from efn_compose.data.table import ImageTable
        >>> images = np.zeros((2, 4, 4, 3), np.uint8)
        >>> table = ImageTable(images, np.array([0, 1]), ("cat", "dog"), "two")
        >>> contradiction_notes(table, pixel_digests(images))
        ['1 image equals one of another class: 0 (cat) and 1 (dog)']
    """
    labels, names = table.labels, table.class_names
    found = [
        " and ".join(f"{table.image_name(n)} ({names[labels[n]]})" for n in pair)
        for pair in equal_pairs(digests)
        if UNLABELLED not in labels[list(pair)] and labels[pair[0]] != labels[pair[1]]
    ]
    words = "1 image equals one" if len(found) == 1 else f"{len(found)} images equal one"
    return [f"{words} of another class: {'; '.join(first_of(found, _LISTED))}"] if found else []


def equal_across(digests: list[str], part: np.ndarray) -> list[Duplicate]:
    """Return pairs of equal images in different parts.

    Args:
        digests: One per image.
        part: (image,) fold or part number; negative for images in none.

    Example:
        >>> equal_across(["a", "b", "a"], np.array([0, 0, 1]))
        [Duplicate(first=0, second=2, cosine=1.0)]
    """
    members: dict[str, list[int]] = {}
    for number, digest in enumerate(digests):
        if part[number] >= 0:
            members.setdefault(digest, []).append(number)
    return sorted(
        (
            Duplicate(first, second)
            for group in members.values()
            for place, first in enumerate(group)
            for second in group[place + 1 :]
            if part[first] != part[second]
        ),
        key=lambda pair: (pair.first, pair.second),
    )


def similar_across(
    embeddings: np.ndarray, part: np.ndarray, threshold: float = 0.98
) -> list[Duplicate]:
    """Return pairs of different parts whose embeddings point the same way.

    Pooled features of any donor serve as embeddings. Centred first: features after an
    activation are all positive, and their raw cosines all near 1.

    Args:
        embeddings: (image, feature).
        part: (image,) fold or part number; negative for images in none.
        threshold: Smallest cosine that counts, -1 to 1.

    Returns:
        Pairs, the most similar first.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.1], [-1.0, -1.0]])
        >>> [(p.first, p.second) for p in similar_across(vectors, np.array([0, 0, 1, 1]), 0.9)]
        [(0, 2)]
    """
    if embeddings.ndim != 2 or len(embeddings) != len(part):
        raise ConfigError(
            f"embeddings must be (image, feature) with {len(part)} images. "
            f"Received: {embeddings.shape}."
        )
    centred = embeddings - embeddings.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    found = []
    for start in range(0, len(unit), _ROWS):
        cosines = unit[start : start + _ROWS] @ unit.T
        for row, column in zip(*np.nonzero(cosines >= threshold), strict=True):
            first = start + int(row)
            is_pair = first < column and part[first] != part[column]
            if is_pair and part[first] >= 0 and part[column] >= 0:
                found.append(Duplicate(first, int(column), float(cosines[row, column])))
    return sorted(found, key=lambda pair: -pair.cosine)
