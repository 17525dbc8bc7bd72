"""The networks' answers to the test images, kept network by network, so that a killed job goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from efn_compose.assess.prediction_store.blocks import logits_of, probability_of
from efn_compose.data import ImageTable
from efn_compose.data.holding import Holding
from efn_compose.data.table import ChosenImages, ImageSequence
from efn_compose.jobs.ensembles.columns import Members
from efn_compose.jobs.predictions.networks import Network
from efn_compose.jobs.predictions.stream import stream_images
from efn_compose.store.arrays import WholeFiles, read_sealed, seal
from efn_compose.store.atomic import atomic_path
from efn_compose.train.tta import TtaOptions

#: Where the answers lie in the run folder.
ANSWERS_FOLDER = "test"


class OutOfTimeError(Exception):
    """The time is up in the middle of a network; nobody but the job sees this."""


class _ImagesInTime(ChosenImages):
    """All images of a sequence, decoded as long as it is not late."""

    def __init__(self, images: ImageSequence, is_late: Callable[[], bool]) -> None:
        super().__init__(images, np.arange(len(images)))
        self._is_late = is_late

    def source_of(self, index: int) -> tuple[ImageSequence, int]:
        if self._is_late():
            raise OutOfTimeError
        return super().source_of(index)


@dataclass(frozen=True, eq=False)
class TestAnswers:
    """What the networks that have been asked so far say of the test images.

    Args:
        columns: Numbers of the columns of which all, or at least one network was asked.
        mean: (column, image, class) float32, the mean of each column's networks.
        single: (column, image, class) float32, each image by one network of the column, as
            out-of-fold rows are.
        networks: Number of networks asked.
    """

    __test__ = False

    columns: tuple[int, ...]
    mean: np.ndarray
    single: np.ndarray
    networks: int


class Asker:
    """Asks network after network, and keeps each answer in a file.

    Args:
        folder: The run folder.
        table: The test images.
        tta: Views of each image; None: those of each training.
        members: All columns; a file is named by its column's number, since runs may have equal names.
    """

    def __init__(
        self, folder: Path, table: ImageTable, tta: TtaOptions | None, members: Members
    ) -> None:
        from efn_compose.jobs.predictions.panel import Panel

        self._folder, self._table = folder / ANSWERS_FOLDER, table
        self._folder.mkdir(exist_ok=True)
        self._members = members
        self._columns = {
            id(network): number
            for number, member in enumerate(members.members)
            for network in member.networks
        }
        #: By image size: the table with its images at that size.
        self._sized: dict[int, ImageTable] = {}
        self._whole = WholeFiles()
        # One for all networks, so that those of one architecture are traced once.
        self._panel = Panel([], tta)

    def path(self, network: Network) -> Path:
        """Return the file of a network's answers."""
        return self._folder / f"{self._columns[id(network)]:04d}_{network.name}.npy"

    def is_done(self, network: Network) -> bool:
        """Return whether a network's answers are there, to these images, and not damaged."""
        return self._whole.has(self.path(network), (len(self._table), network.classes))

    def ask(self, network: Network, is_late: Callable[[], bool] = lambda: False) -> None:
        """Ask a network about all images, a chunk at a time.

        Raises:
            OutOfTimeError: It became late; nothing was kept.
        """
        with atomic_path(self.path(network)) as temporary:
            shape = (len(self._table), network.classes)
            with open(temporary, "wb") as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": "<f2", "fortran_order": False, "shape": shape}
                )
                for numbers, pixels in stream_images(
                    self.at(network.size, is_late), (network.size,)
                ):
                    answer, _ = self._panel.ask_one(network, pixels[network.size], numbers)
                    file.write(np.ascontiguousarray(logits_of(answer), "<f2").tobytes())
                    if is_late():
                        raise OutOfTimeError
            seal(temporary)
        self._whole.add(self.path(network))

    def at(self, size: int, is_late: Callable[[], bool] = lambda: False) -> ImageTable:
        """Return the images at a size, decoded once for all networks that want it.

        Raises:
            OutOfTimeError: It became late. What is in the cache by then stays there.
        """
        if size not in self._sized:
            every = np.arange(len(self._table))
            source = _ImagesInTime(self._table.images, is_late)
            images = Holding(copies=1).hold(source, every, size, self._table.name)
            self._sized[size] = replace(self._table, images=images)
        return self._sized[size]

    def answers(self) -> TestAnswers:
        """Return what has been answered so far."""
        columns: list[int] = []
        means: list[np.ndarray] = []
        singles: list[np.ndarray] = []
        count = 0
        for number, member in enumerate(self._members.members):
            done = [network for network in member.networks if self.is_done(network)]
            if not done:
                continue
            stated = [self._read(network) for network in done]
            count += len(done)
            columns.append(number)
            means.append(np.asarray(np.mean(stated, axis=0, dtype=np.float64), np.float32))
            turn = np.arange(len(self._table)) % len(done)
            singles.append(np.stack(stated)[turn, np.arange(len(self._table))])
        return TestAnswers(tuple(columns), _stack(means), _stack(singles), count)

    def _read(self, network: Network) -> np.ndarray:
        return probability_of(read_sealed(self.path(network)))


def _stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros((0, 0, 0), np.float32)
