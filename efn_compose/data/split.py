"""Cutting a table of images into training, search-validation and test parts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.data.folding.grouped import assign_groups
from efn_compose.data.options import DataOptions
from efn_compose.data.table import ImageTable
from efn_compose.errors import DataError, SplitError, describe_problems, first_of

PARTS = ("train", "validation", "test")
#: Share of the table for each part whose count is left at 0.
PROPORTIONS = (0.6, 0.2, 0.2)
#: Classes that a message lists.
_LISTED = 10


@dataclass(frozen=True, eq=False)
class Split:
    """Which image is in which part.

    Args:
        train: Image numbers, (image,) int64, in a random but fixed order.
        validation: The same for search-validation.
        test: The same for the test part.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Split):
            return NotImplemented
        return all(np.array_equal(getattr(self, p), getattr(other, p)) for p in PARTS)

    __hash__ = None  # type: ignore[assignment]  # Python's own way to say: not hashable

    def to_json(self) -> str:
        """Return the split as one line of JSON."""
        return json.dumps({part: getattr(self, part).tolist() for part in PARTS})

    @classmethod
    def from_json(cls, text: str) -> "Split":
        """Return the split that `to_json` wrote.

        Raises:
            DataError: The text is no split, or an image is in two splits.
        """
        try:
            fields = json.loads(text)
            parts = [np.array(fields[part], np.int64) for part in PARTS]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise DataError(f"Not a saved split ({error!r}).") from None
        together = np.concatenate([part.ravel() for part in parts])
        if any(part.ndim != 1 for part in parts) or (together < 0).any():
            raise DataError("Not a saved split: expected lists of image numbers.")
        if len(np.unique(together)) != len(together):
            raise DataError("Not a usable split: an image is in it twice.")
        return cls(*parts)


def split(table: ImageTable, options: DataOptions, seed: int) -> Split:
    """Draw the three parts of a table, stratified by class.

    Every class is in every part. Without patients, each part has exactly the count asked
    for and each class its share of it to within one image wherever its images suffice. With
    patients (`table.groups`), no patient is in two parts and the class shares are as near as
    whole patients allow.

    Args:
        table: The images.
        options: `train_images`, `validation_images`, `test_images`; 0 = 60/20/20 % of all.
        seed: The same seed and table give the same split.

    Raises:
        SplitError: Too few images, classes or patients for that; all problems are listed.

    Example:
        >>> from efn_compose.data import DataOptions, load_table
        >>> parts = split(load_table("digits"), DataOptions(), seed=1)
        >>> len(parts.train), len(parts.validation), len(parts.test)
        (1079, 359, 359)
    """
    table.all_labelled()
    wanted = (options.train_images, options.validation_images, options.test_images)
    counts = part_counts(len(table), wanted, len(table.class_names))
    _check(table, wanted, counts)
    rng = np.random.default_rng([seed, 0x5B117])
    if table.groups is None:
        return Split(*_draw_parts(table.labels, np.arange(len(table)), counts, rng))
    return _split_groups(table, table.groups, wanted, counts, rng)


def part_counts(total: int, wanted: Sequence[int], classes: int = 0) -> tuple[int, ...]:
    """Return the images of each part, with 60/20/20 % of the total in place of each 0.

    Args:
        total: Images of the table.
        wanted: Images of each part; 0 for its share.
        classes: Number of classes; no share is smaller.

    Example:
        >>> part_counts(1000, (300, 0, 0)), part_counts(1003, (0, 0, 201))
        ((300, 200, 200), (601, 201, 201))
        >>> part_counts(12, (0, 0, 0), classes=4)
        (4, 4, 4)
    """
    shares = [max(round(total * share), classes) for share in PROPORTIONS]
    if not any(wanted):
        shares[0] = total - sum(shares[1:])
    counts = [count or share for count, share in zip(wanted, shares, strict=True)]
    is_within = all(count <= share for count, share in zip(wanted, shares, strict=True))
    if is_within and 0 in wanted and sum(counts) > total:
        counts[wanted.index(0)] -= 1  # three rounded shares can be one more than all
    return tuple(counts)


def _check(table: ImageTable, wanted: Sequence[int], counts: Sequence[int]) -> None:
    problems = []
    total, class_count = len(table), len(table.class_names)
    if sum(counts) > total:
        asked = " + ".join(f"{part} {n}" for part, n in zip(PARTS, counts, strict=True))
        problems.append(
            f"- {total} images, but {sum(counts)} asked for ({asked}; 0 stands for 60/20/20 %). "
            "Set data.train_images, data.validation_images or data.test_images lower."
        )
    if class_count < 2:
        problems.append(f"- {class_count} class; at least 2 are needed")
    for part, count, asked_for in zip(PARTS, counts, wanted, strict=True):
        if count < class_count:
            what = "asked for" if asked_for else "left by 60/20/20 %"
            problems.append(
                f"- {part}: {count} images {what}, but {class_count} classes need one each; "
                f"set data.{part}_images to {class_count} or more"
            )
    problems += first_of(_rare_classes(table), _LISTED)
    if problems:
        raise SplitError(describe_problems(f"{table.name}: cannot be split as asked.", problems))


def _rare_classes(table: ImageTable) -> list[str]:
    """Return a line for each class that cannot be in every part."""
    problems = []
    for number, name in enumerate(table.class_names):
        members = np.flatnonzero(table.labels == number)
        if len(members) < len(PARTS):
            problems.append(
                f"- class {name!r} has {_count(len(members), 'image')}; each of "
                f"{', '.join(PARTS)} needs one. Add images or remove the class."
            )
        elif table.groups is not None:
            patients = len(np.unique(table.groups[members]))
            if patients < len(PARTS):
                problems.append(
                    f"- class {name!r} is in {_count(patients, 'patient')}; each of "
                    f"{', '.join(PARTS)} needs one. Add patients or remove the class."
                )
    return problems


def _draw_parts(
    labels: np.ndarray, pool: np.ndarray, counts: Sequence[int], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return disjoint stratified draws from a pool, each class in each of them."""
    by_class = [rng.permutation(pool[labels[pool] == number]) for number in np.unique(labels)]
    parts: list[np.ndarray] = []
    # Test first: asking for more training images later leaves the test part as it was.
    for reserved in reversed(range(len(counts))):
        count = counts[reserved]
        available = np.array([len(members) for members in by_class])
        shares = _apportion(available, count, reserved)
        taken = [members[:share] for members, share in zip(by_class, shares, strict=True)]
        by_class = [members[share:] for members, share in zip(by_class, shares, strict=True)]
        parts.append(rng.permutation(np.concatenate(taken)))
    return parts[::-1]


def _apportion(available: np.ndarray, count: int, reserved: int) -> np.ndarray:
    """Return images per class, summing to `count`, nearest to the classes' shares.

    At least one of each class, and `reserved` of each left for the parts to come.
    """
    quota = available * (count / available.sum())
    shares = np.clip(np.floor(quota).astype(int), 1, available - reserved)
    while (missing := count - shares.sum()) != 0:
        step = 1 if missing > 0 else -1
        allowed = shares < available - reserved if step > 0 else shares > 1
        need = np.where(allowed, (quota - shares) * step, -np.inf)
        shares[int(np.argmax(need))] += step
    return shares


def _split_groups(
    table: ImageTable,
    groups: np.ndarray,
    wanted: Sequence[int],
    counts: Sequence[int],
    rng: np.random.Generator,
) -> Split:
    # What is left over goes to the parts that have a count, which is all that is drawn of them. So the
    # others are what they are without a count, and stay when one changes.
    room, asked = np.array(counts, float), np.array(wanted) > 0
    room[asked] *= 1 + (len(table) - room.sum()) / max(room[asked].sum(), 1)
    weights = room / room.sum()
    part_of_image = assign_groups(table.labels, groups, weights, rng)
    parts, problems = [], []
    for number, (part, asked_for) in enumerate(zip(PARTS, wanted, strict=True)):
        pool = np.flatnonzero(part_of_image == number)
        missing = set(range(len(table.class_names))) - set(table.labels[pool].tolist())
        for label in sorted(missing):
            problems.append(f"- {part}: no whole patient with class {table.class_names[label]!r}")
        if asked_for > len(pool):
            problems.append(
                f"- {part}: {asked_for} images asked for, whole patients give {len(pool)}; "
                f"set data.{part}_images lower, or to 0 for what they give"
            )
        if not problems:
            parts += _draw_parts(table.labels, pool, [asked_for or len(pool)], rng)
    if problems:
        raise SplitError(
            describe_problems(
                f"{table.name}: cannot be split with each patient in one part only.", problems
            )
        )
    return Split(*parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
