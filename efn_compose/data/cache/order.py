"""What several machines are asked to have in their caches."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from efn_compose.data.cache.layout import Header
from efn_compose.data.table import ImageSequence


@dataclass(frozen=True, eq=False)
class FillOrder:
    """What is to be in the caches of all machines.

    Args:
        images: Images by number.
        numbers: The wanted ones, ascending.
        header: Of the file.
        folder: The cache of the machine that asks.
    """

    images: ImageSequence
    numbers: np.ndarray
    header: Header
    folder: Path


class ShareOut(Protocol):
    """Lets several machines fill their caches together, each of which decodes a share."""

    def __call__(self, order: FillOrder, show_progress: bool, tolerates: bool) -> None:
        """Fill the caches of all machines that can be reached.

        Args:
            order: What is wanted.
            show_progress: Show a bar on a terminal when it takes more than two seconds.
            tolerates: Mark images that cannot be decoded, and finish.

        Raises:
            DataError: Images cannot be decoded.
        """
