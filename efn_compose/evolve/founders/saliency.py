"""How much each unit of each donor matters on the user's images, measured once per run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.donors import Donor
from efn_compose.errors import EvaluationError, RunError
from efn_compose.evolve.founders.alignment import ALIGN_IMAGES
from efn_compose.evolve.founders.kept_donors import key_of
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import SaliencyTask
from efn_compose.store.arrays import read_arrays, write_arrays

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
    write_arrays(folder / FILE, {"key": np.array(key), **arrays})
    return tuple(found)


def _kept(path: Path, key: str, donor_count: int) -> tuple[dict[str, np.ndarray], ...] | None:
    """Return the saliency measured for exactly these donors and images; None if there is none."""
    try:
        arrays = read_arrays(path)
        if str(arrays.pop("key")) != key:
            return None
        found: tuple[dict[str, np.ndarray], ...] = tuple({} for _ in range(donor_count))
        for name, values in arrays.items():
            number, group = name.split("/", 1)
            found[int(number)][group] = values
        return found
    except (RunError, ValueError, LookupError):
        return None  # not measured yet, or not whole
