"""Which labelled images a network has learnt from, in little room: so that a later score can be doubted.

A weight file carries up to 256 marks of the images whose labels it was trained on: the smallest of all,
which are as good as a random draw, whatever other set of images is compared (Broder 1997, "On the
resemblance and containment of documents"). Images are known again under other names, in other folders and
at other sizes, as long as their files have the same bytes.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.donors.provenance import records

if TYPE_CHECKING:
    from efn_compose.donors.donor import Donor

#: Key of `Donor.provenance`: a list with an entry per set of images.
SEEN_KEY = "labelled_images"
#: Marks that are kept of a set.
_KEPT = 256
#: So small a part of known images is no reason to doubt a score.
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class SeenImages:
    """A set of images whose labels a network has learnt from.

    Args:
        images: Their number.
        marks: The smallest of their marks (`efn_compose.data.identity.image_marks`), ascending.
    """

    images: int
    marks: tuple[int, ...]

    @classmethod
    def of(cls, marks: np.ndarray) -> "SeenImages":
        """Return what is kept of a set.

        Args:
            marks: (image,) uint64.

        Example:
            >>> SeenImages.of(np.arange(1000, dtype=np.uint64)).marks[-1]
            255
        """
        return cls(len(marks), tuple(np.unique(marks)[:_KEPT].tolist()))

    def looked_up(self, marks: np.ndarray) -> tuple[int, int]:
        """Return how many of some images are in this set, and of how many that could be said.

        Args:
            marks: (image,) uint64 of other images.

        Example:
            >>> half = SeenImages.of(np.arange(0, 1000, 2, dtype=np.uint64))
            >>> half.looked_up(np.arange(1000, dtype=np.uint64))
            (256, 511)
        """
        return _looked_up((self,), marks)

    @property
    def limit(self) -> int:
        """The largest mark of which it is known whether an image is in this set."""
        is_whole = len(self.marks) < _KEPT or self.images <= _KEPT
        return np.iinfo(np.uint64).max if is_whole else self.marks[-1]

    def to_json(self) -> dict[str, Any]:
        """Return the entry of a provenance."""
        packed = base64.b64encode(np.array(self.marks, ">u8").tobytes()).decode()
        return {"images": self.images, "marks": packed}


def seen_by(provenance: Mapping[str, Any]) -> tuple[SeenImages, ...]:
    """Return the sets of labelled images that weights have learnt from, as far as is written down.

    Sets of networks that were nested beside the first, or averaged, count, too.

    Args:
        provenance: Of a donor. Entries that are damaged are passed over.

    Example:
        >>> seen_by({"source": "a.pth"})
        ()
    """
    found: dict[SeenImages, None] = {}
    for record in records(provenance):
        entries = record.get(SEEN_KEY)
        for entry in entries if isinstance(entries, list) else ():
            found |= dict.fromkeys(_read(entry))
    return tuple(found)


def with_seen(provenance: Mapping[str, Any], seen: Iterable[SeenImages]) -> dict[str, Any]:
    """Return a provenance that says of further sets, each once.

    Args:
        provenance: Of a donor.
        seen: What weights have learnt from, too.

    Example:
        >>> one = SeenImages(1, (7,))
        >>> seen_by(with_seen(with_seen({}, [one]), [one])) == (one,)
        True
    """
    known = seen_by(provenance)
    new = [one for one in dict.fromkeys(seen) if one.images and one not in known]
    if not new:
        return dict(provenance)
    before = provenance.get(SEEN_KEY, [])
    return {**provenance, SEEN_KEY: [*before, *(one.to_json() for one in new)]}


def seen_notes(donors: Sequence["Donor"], parts: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return a sentence where networks have learnt from labels of images that are to judge them.

    Args:
        donors: The networks.
        parts: By the name of a set of images, such as "validation", their marks (image,) uint64.
    """
    said = []
    for donor in donors:
        known = {part: known_part(donor, marks) for part, marks in parts.items()}
        shares = [f"{share} of the {part} images" for part, share in known.items() if share]
        if shares:
            said.append(f"{donor.name} from {' and '.join(shares)}")
    if not said:
        return ()
    return (
        "Labels of these images have trained or chosen the weights of networks that the images now judge: "
        f"{'; '.join(said)}. Scores here flatter these networks. Only images that none of them has met "
        "say what they are worth.",
    )


def known_part(donor: "Donor", marks: np.ndarray) -> str:
    """Return how many of some images a network has learnt from, in words; "" for less than one in a hundred.

    Of several sets their union counts, as of the networks of all folds that were averaged, unless one of
    them alone has more: beside a very large set a small one has few marks that can be compared.

    Args:
        donor: The network.
        marks: (image,) uint64.

    Example:
        >>> known_part(load_donor("runs/photos/last.h5"), image_marks(table.images))  # doctest: +SKIP
        'about 80%'
    """
    sets = seen_by(donor.provenance)
    answers = [_looked_up(some, marks) for some in (sets, *((one,) for one in sets)) if some]
    known, asked = max(answers, key=lambda one: one[0] / max(one[1], 1), default=(0, 0))
    if known <= _LEAST_SHARE * asked:
        return ""
    return "all" if known == asked else f"about {known / asked:.0%}"


def _looked_up(sets: Sequence[SeenImages], marks: np.ndarray) -> tuple[int, int]:
    """Return how many of some images are in any of the sets, and of how many that could be said."""
    candidates = marks[marks <= np.uint64(min(one.limit for one in sets))]
    known = np.array(sorted({mark for one in sets for mark in one.marks}), np.uint64)
    return int(np.isin(candidates, known).sum()), len(candidates)


def _read(entry: object) -> Iterator[SeenImages]:
    match entry:
        case {"images": int(images), "marks": str(packed)}:
            with suppress(ValueError):
                numbers = np.frombuffer(base64.b64decode(packed, validate=True), ">u8")
                yield SeenImages(images, tuple(numbers.tolist()))
