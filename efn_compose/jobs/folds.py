"""Folds of a data set: what cannot be decoded left out, equal images found, the result written."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from efn_compose.analysis.reading.figures import count as count_of
from efn_compose.data import ImageTable
from efn_compose.data.decoding.unreadable import Unreadable, skip_unreadable
from efn_compose.data.folding.duplicates import (
    Duplicate,
    contradiction_notes,
    equal_pairs,
    join_duplicates,
    pixel_digests,
    similar_across,
)
from efn_compose.data.folding.fold_table import write_fold_table
from efn_compose.data.folding.folds import Folds, make_folds
from efn_compose.data.holding import Holding
from efn_compose.errors import DataError, describe_problems, first_of
from efn_compose.store.atomic import write_text

#: What becomes of equal images: they are listed, kept in one fold, or an error.
DuplicateRule = Literal["report", "join", "refuse"]
_LISTED = 20


@dataclass(frozen=True)
class FoldedTable:
    """A table cut into folds, and what was found on the way.

    Args:
        table: The images, without those left out.
        folds: The fold of each image, and how alike folds are.
        count: Number of folds.
        seed: Seed that broke ties.
        joined: Number of pairs of equal images that were kept together.
        across: Pairs of equal images in two folds.
        left_out: Images that cannot be decoded.
        contradictions: A sentence about equal images of different classes, where there are any.
    """

    table: ImageTable
    folds: Folds
    count: int
    seed: int
    joined: int
    across: tuple[Duplicate, ...]
    left_out: tuple[Unreadable, ...]
    contradictions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {
            "data": self.table.name,
            "folds": self.count,
            "seed": self.seed,
            "quality": asdict(self.folds.quality),
            "duplicates": [
                {
                    "images": [
                        self.table.image_name(pair.first),
                        self.table.image_name(pair.second),
                    ],
                    "folds": [int(self.folds.fold[n]) for n in (pair.first, pair.second)],
                    "cosine": round(pair.cosine, 6),
                }
                for pair in self.across
            ],
            "joined": self.joined,
            "left_out": [image.reason for image in self.left_out],
            "contradictions": list(self.contradictions),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fold of each image as CSV, and `to_json` beside it."""
        path = Path(path)
        fields = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        write_text(path.with_suffix(".json"), fields)
        write_fold_table(self.table, self.folds.fold, path)

    def duplicate_lines(self) -> list[str]:
        """Return equal images of different folds as lines for people; of many, the first."""
        lines = (
            f"- {self.table.image_name(pair.first)} (fold {self.folds.fold[pair.first]}) and "
            f"{self.table.image_name(pair.second)} (fold {self.folds.fold[pair.second]}): "
            + ("equal pixels" if pair.cosine == 1.0 else f"cosine {pair.cosine:.4f}")
            for pair in self.across
        )
        return first_of(lines, _LISTED)

    def left_out_lines(self) -> list[str]:
        """Return the reasons of images that were left out as lines for people; the first of many."""
        return first_of((f"- {image.reason}" for image in self.left_out), _LISTED)


def cut_folds(
    table: ImageTable,
    count: int = 5,
    *,
    seed: int = 0,
    worst_rate: float | None = None,
    worst_size_distance: float | None = None,
    skip_unreadable_share: float = 0.0,
    duplicates: DuplicateRule = "report",
    weights: str | None = None,
    threshold: float = 0.98,
    size: int = 64,
    note: Callable[[str], None] = lambda text: None,
    show_progress: bool = False,
) -> FoldedTable:
    """Cut a table into folds and find images that are in two folds at once.

    Args:
        table: The images.
        count: Number of folds, 2 or more.
        seed: Breaks ties.
        worst_rate: See `make_folds`.
        worst_size_distance: See `make_folds`.
        skip_unreadable_share: Leave out images that cannot be decoded, if at most this share.
        duplicates: Whether equal images are listed, kept in one fold, or refused.
        weights: Compare images by this network's features too: a file or "package:NAME".
        threshold: Smallest cosine of features that counts as equal.
        size: Height and width for `weights`, in pixels.
        note: Told what takes long.
        show_progress: Show a bar on a terminal when it takes long.

    Raises:
        DataError: Folds cannot be made or are too unlike, images cannot be decoded, or equal
            images are in two folds and refused.

    Example:
        >>> from efn_compose.data import load_table
        >>> cut_folds(load_table("digits"), 3).count
        3
    """
    left_out: Sequence[Unreadable] = ()
    if skip_unreadable_share:
        table, left_out = skip_unreadable(
            table, at_most=skip_unreadable_share, show_progress=show_progress
        )
    digests = pixel_digests(table.images, show_progress)
    pairs = [Duplicate(*pair) for pair in equal_pairs(digests)]
    if weights:
        similar = _similar_pairs(table, weights, threshold, size, note, show_progress)
        known = {(pair.first, pair.second) for pair in pairs}
        pairs += [pair for pair in similar if not _is_known(pair, digests, known)]
    cut = table
    if duplicates == "join" and pairs:
        together = [(pair.first, pair.second) for pair in pairs]
        groups = join_duplicates(table.groups, together, len(table))
        cut = replace(table, groups=groups, group_names=None)
    folds = make_folds(
        cut, count, seed=seed, worst_rate=worst_rate, worst_size_distance=worst_size_distance
    )
    across = tuple(pair for pair in pairs if folds.fold[pair.first] != folds.fold[pair.second])
    joined = len(pairs) if duplicates == "join" else 0
    contradictions = tuple(contradiction_notes(table, digests))
    found = FoldedTable(table, folds, count, seed, joined, across, tuple(left_out), contradictions)
    if across and duplicates == "refuse":
        raise DataError(
            describe_problems(
                f"{table.name}: {count_of(len(across), 'pair')} of equal images in two folds.",
                found.duplicate_lines(),
                "Remove one of each, or keep them together: --duplicates join.",
            )
        )
    return found


def _similar_pairs(
    table: ImageTable,
    weights: str,
    threshold: float,
    size: int,
    note: Callable[[str], None],
    show_progress: bool,
) -> list[Duplicate]:
    """Return pairs of images whose features are nearly equal, whatever their folds will be."""
    from efn_compose.analysis.rank import pooled_features
    from efn_compose.jobs.donor_entries import load_donors

    donor = load_donors([weights])[0]
    every = np.arange(len(table))
    images = Holding(copies=1).hold(table.images, every, size, table.name, show_progress)
    note(f"reading features of {len(images)} images with {donor.name}")
    features, _ = pooled_features(donor, images)
    # As many parts as images, so that every pair counts.
    return similar_across(features, every, threshold)


def _is_known(pair: Duplicate, digests: list[str], known: set[tuple[int, int]]) -> bool:
    """Return whether a pair was found by its pixels, directly or through a third image."""
    return (pair.first, pair.second) in known or digests[pair.first] == digests[pair.second]
