"""The networks of a population on disk: what a resumed run needs to go on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.compose.averaging import Tensors
from efn_compose.donors import Donor, load_donor
from efn_compose.errors import CheckpointError

FOLDER = "population"


class PopulationFolder:
    """Weight files of the members of the latest generations, and of earlier ones' means.

    Each file says what it was made from, and is used for nothing else.

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
            origin: What it was made from; JSON values.
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
