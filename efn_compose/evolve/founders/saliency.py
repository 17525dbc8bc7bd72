"""How much each unit of each donor matters on the user's images, measured once per run."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from efn_compose.donors import Donor
from efn_compose.errors import EvaluationError
from efn_compose.evolve.founders.alignment import ALIGN_IMAGES
from efn_compose.evolve.founders.kept_donors import key_of
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import SaliencyTask
from efn_compose.store.atomic import atomic_path

FILE = "saliency.npz"


def measure_saliency(
    donors: Sequence[Donor],
    run_seed: int,
    data_fingerprint: str,
    executor: Executor,
    seat: Seat,
    folder: Path,
) -> tuple[dict[str, np.ndarray], ...]:
    """Return contributions (unit,) by expanded group, per donor.

    Kept in the run folder: genomes are decoded with them, so that a resumed run must
    not measure them anew on another machine.

    Args:
        donors: All donors.
        run_seed: The run's seed.
        data_fingerprint: Of the data set the images come from.
        executor: Its workers measure.
        seat: The donors, in the same order.
        folder: The run folder.

    Raises:
        EvaluationError: A measurement failed.
    """
    seed = derive_seed(run_seed, "partition")
    key = key_of([[donor.fingerprint for donor in donors], ALIGN_IMAGES, seed, data_fingerprint])
    kept = _kept(folder / FILE, key, len(donors))
    if kept is not None:
        return kept
    found: list[dict[str, np.ndarray]] = [{} for _ in donors]
    tasks = [SaliencyTask(number, ALIGN_IMAGES, seed) for number in range(len(donors))]
    for number, outcome in executor.run(tasks, seat):
        if outcome.error is not None:
            raise EvaluationError(
                f"The units of donor {donors[number].name!r} cannot be weighed: {outcome.error}. "
                "A search over whole blocks needs no weighing: --set search.granularity=block."
            )
        found[number] = outcome.value
    arrays = {f"{n}/{group}": v for n, part in enumerate(found) for group, v in part.items()}
    with atomic_path(folder / FILE) as path, path.open("wb") as file:
        # savez' own arguments have names that no array here has, which its types cannot say.
        np.savez(file, key=np.array(key), **cast(dict[str, Any], arrays))
    return tuple(found)


def _kept(path: Path, key: str, donor_count: int) -> tuple[dict[str, np.ndarray], ...] | None:
    """Return the saliency measured for exactly these donors and images; None if there is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            found: tuple[dict[str, np.ndarray], ...] = tuple({} for _ in range(donor_count))
            for name in file.files:
                if name != "key":
                    number, group = name.split("/", 1)
                    found[int(number)][group] = file[name]
            return found
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None  # not measured yet, or not whole
