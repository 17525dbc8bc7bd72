"""Paths of millions of files as one text: an object per path would take gigabytes."""

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import overload

import numpy as np


class PathList:
    """Paths by number, made when asked for.

    Args:
        paths: To begin with.

    Example:
        >>> paths = PathList(["a/a.png"])
        >>> paths.append("a/b.png")
        >>> paths[1].name, len(paths)
        ('b.png', 2)
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]] = ()) -> None:
        self._text, self._ends = bytearray(), array("q", [0])
        for path in paths:
            self.append(path)

    def append(self, path: str | os.PathLike[str]) -> None:
        """Add a path."""
        self._text += os.fsencode(path)
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[Path]:
        return (self[number] for number in range(len(self)))

    @overload
    def __getitem__(self, number: int) -> Path: ...
    @overload
    def __getitem__(self, number: slice) -> "list[Path]": ...
    def __getitem__(self, number: int | slice) -> "Path | list[Path]":
        if isinstance(number, slice):
            return [self[place] for place in range(*number.indices(len(self)))]
        place = number + len(self) if number < 0 else number
        if not 0 <= place < len(self):
            raise IndexError(f"path {number} of {len(self)}")
        return Path(self.name(place))

    def name(self, place: int) -> str:
        """Return a path as text, which costs a tenth of an object.

        Example:
            >>> PathList(["a/a.png"]).name(0)
            'a/a.png'
        """
        return os.fsdecode(self._bytes(place))

    def repeated(self) -> list[tuple[int, int]]:
        """Return the first place of each path that comes again, and the later place.

        Example:
            >>> PathList(["a", "b", "a"]).repeated()
            [(0, 2)]
        """
        hashes = np.fromiter(
            (hash(self._bytes(place)) for place in range(len(self))), np.int64, len(self)
        )
        order = np.argsort(hashes, kind="stable")
        is_equal = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        # Few, and of equal hash: now by their names.
        suspects = sorted({*order[is_equal].tolist(), *order[is_equal + 1].tolist()})
        first: dict[bytes, int] = {}
        found = [(first.setdefault(self._bytes(place), place), place) for place in suspects]
        return [pair for pair in found if pair[0] != pair[1]]

    def _bytes(self, place: int) -> bytes:
        return bytes(self._text[self._ends[place] : self._ends[place + 1]])
