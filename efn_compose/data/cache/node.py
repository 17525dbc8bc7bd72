"""One machine's part where several fill their caches together: decode a share, keep what others decoded."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from efn_compose.data.cache.fill import Unfinished, cache_key, lock_unfinished, told
from efn_compose.data.cache.images import CacheFile, open_file, places_to_look
from efn_compose.data.cache.order import FillOrder
from efn_compose.data.cache.place import FINISHED
from efn_compose.data.decoding.decode import for_each_image

#: Place and reason of each image that cannot be decoded.
Failures = list[tuple[int, str]]


@dataclass(frozen=True, eq=False)
class NodeState:
    """How a machine stands before a fill.

    Args:
        host: Its name.
        sees_source: Whether it has the images that the asking machine has.
        standing: "whole": it has the file; "filling": it wants what is missing; "busy": another
            process fills this file.
        missing: Places of images that it wants.
    """

    host: str
    sees_source: bool
    standing: Literal["whole", "filling", "busy"]
    missing: np.ndarray


class NodeCache:
    """The cache of this machine, while several machines fill theirs.

    Args:
        order: What is wanted.
        is_asking: Whether this is the machine that asks, whose folder is the one of the order.

    Example:
        >>> node = NodeCache(order)  # doctest: +SKIP
        >>> places = node.begin().missing  # doctest: +SKIP
        >>> node.keep(places, *node.decode(places))  # doctest: +SKIP
        >>> node.finish()  # doctest: +SKIP
    """

    def __init__(self, order: FillOrder, is_asking: bool = False) -> None:
        self._order = order
        self._places = (order.folder,) if is_asking else places_to_look(order.folder)
        self._whole = next(filter(None, map(self._open, self._places)), None)
        self._lock: int | None = None
        self._unfinished: Unfinished | None = None
        self._sees_source = False

    def begin(self) -> NodeState:
        """Look what is there, and begin a file where there is none.

        Raises:
            DataError: The cache has no room, or cannot be written.
        """
        order, header = self._order, self._order.header
        self._sees_source = cache_key(order.images, order.numbers, header.size) == header.key
        missing = np.zeros(0, int)
        if self._whole is not None:
            return NodeState(platform.node(), self._sees_source, "whole", missing)
        folder = self._places[0]
        with told(header, folder):
            finished = folder / f"{header.key}{FINISHED}"
            self._lock = lock_unfinished(finished)
            if self._lock is None:
                return NodeState(platform.node(), self._sees_source, "busy", missing)
            self._unfinished = Unfinished(self._lock, finished, header)
            missing = self._unfinished.missing()
        return NodeState(platform.node(), self._sees_source, "filling", missing)

    def decode(self, places: np.ndarray) -> tuple[np.ndarray, Failures]:
        """Return images (image, size, size, 3) uint8, and those that cannot be decoded.

        Args:
            places: Of the images in the file.
        """
        order, size = self._order, self._order.header.size
        found = np.zeros((len(places), size, size, 3), np.uint8)
        if self._whole is not None:
            is_lost = np.isin(places, self._whole.unreadable)
            found[~is_lost] = self._whole.read(places[~is_lost])
            name_of = getattr(order.images, "name_of", str)
            reason = f"could not be decoded when {self._whole.path} was filled"
            return found, [
                (place, f"{name_of(int(order.numbers[place]))} {reason}")
                for place in places[is_lost].tolist()
            ]
        failures = for_each_image(
            order.images, order.numbers[places], found.__setitem__, False, size
        )
        return found, [(int(places[position]), reason) for position, reason in failures]

    def keep(self, places: np.ndarray, pixels: np.ndarray, failures: Failures) -> None:
        """Write images that some machine decoded.

        Raises:
            DataError: The disk is full.
        """
        unfinished = self._unfinished
        if unfinished is None:
            return
        lost = {place for place, _ in failures}
        with told(self._order.header, self._places[0]):
            for place, image in zip(places.tolist(), pixels, strict=True):
                if place in lost:
                    unfinished.mark(place)
                else:
                    unfinished.write(place, image)

    def finish(self) -> None:
        """Give the file its name; one in which images are missing is left for another time.

        Raises:
            DataError: The source changed meanwhile.
        """
        order, unfinished = self._order, self._unfinished
        if unfinished is None or not unfinished.is_filled():
            self.let_go()
            return
        with told(order.header, self._places[0]):
            unfinished.finish(order.images, order.numbers if self._sees_source else None)
        self.let_go()

    def let_go(self) -> None:
        """Leave the file to other processes, finished or not."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._unfinished = None

    def _open(self, folder: Path) -> CacheFile | None:
        return open_file(folder / f"{self._order.header.key}{FINISHED}", self._order.header.key)
