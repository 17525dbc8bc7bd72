"""The networks of a population on disk, for a run that is resumed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.compose.averaging import Tensors
from efn_compose.donors import Donor, load_donor
from efn_compose.errors import CheckpointError

FOLDER = "population"
#: Generations that averages along a training may reach back.
MEMORY = 16
#: Generations whose members stay on disk although they live on in a mean.
WHOLE = 2


class PopulationFolder:
    """Weight files of the members of the latest generations, and of earlier ones' means.

    Each file names its origin, and is used for nothing else.

    Args:
        folder: Where the files go; made when the first one is written.
        like: A donor of the run: network and conventions.
    """

    def __init__(self, folder: Path, like: Donor) -> None:
        self._folder, self._like = folder, like

    def save(self, name: str, tensors: Tensors, origin: Mapping[str, Any]) -> None:
        """Write one network.

        Args:
            name: File name without ending.
            tensors: Arrays by canonical name, classifier included.
            origin: Recipe and parents of the network; JSON values.
        """
        self._folder.mkdir(exist_ok=True)
        provenance = {**self._like.provenance, "population": dict(origin)}
        network = Donor(name, self._like.spec, self._like.conventions, tensors, provenance)
        network.save(self._folder / f"{name}.h5")

    def load(self, name: str, origin: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """Return one network's tensors; None where it is not kept or was made otherwise."""
        try:
            network = load_donor(self._folder / f"{name}.h5")
        except CheckpointError:
            return None
        fits = network.provenance.get("population") == dict(origin)
        return dict(network.tensors) if fits else None

    def forget(self, pattern: str) -> None:
        """Remove the files whose names fit, `*` standing for anything."""
        for path in self._folder.glob(f"{pattern}.h5"):
            path.unlink(missing_ok=True)


def population_folder(run: Path, like: Donor) -> PopulationFolder:
    """Return the folder of a run's population.

    Args:
        run: The run folder.
        like: A donor of the run: network and conventions.
    """
    return PopulationFolder(run / FOLDER, like)


def most_kept(sizes: Sequence[int], means: Sequence[int], whole: Sequence[int]) -> int:
    """Return the most networks of a population that lie on disk at once.

    Args:
        sizes: Trainings of each generation.
        means: Networks of each that later averages need.
        whole: Members of each that live on in a mean and are kept for a while besides.
    """
    most = 0
    for latest in range(len(sizes)):
        # The newest is written whole before the oldest and the worse half go.
        earlier = range(max(0, latest - MEMORY), latest)
        kept = sum(means[n] + (whole[n] if n >= latest - WHOLE else 0) for n in earlier)
        most = max(most, kept + sizes[latest] + (means[latest] if whole[latest] else 0))
    return most
