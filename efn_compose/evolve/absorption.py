"""Absorption inside a run: every donor is rewritten for the statistics of the training images."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from efn_compose.donors import Donor, load_donor
from efn_compose.errors import CheckpointError, EvaluationError
from efn_compose.evolve.executor import Executor
from efn_compose.evolve.tasks import AbsorbTask

FOLDER = "absorbed"


def absorb_donors(
    donors: Sequence[Donor],
    image_count: int,
    data_fingerprint: str,
    executor: Executor,
    folder: Path,
) -> list[Donor]:
    """Rewrite donors' BatchNorm for the statistics of training images, function kept.

    Rewritten donors are kept in the run folder under a name that says what they were made
    from, and not made again.

    Args:
        donors: Harmonised, headless donors of one network.
        image_count: Training images to take the statistics of.
        data_fingerprint: Of the data set the images come from.
        executor: Its workers do it, a donor each.
        folder: Where rewritten donors are kept.

    Returns:
        Donors in the given order and with the given names.

    Raises:
        EvaluationError: A donor could not be rewritten.
    """
    paths = [folder / _file_name(donor, image_count, data_fingerprint) for donor in donors]
    found = {n: made for n, path in enumerate(paths) if (made := _kept(path)) is not None}
    missing = [number for number in range(len(donors)) if number not in found]
    folder.mkdir(exist_ok=True)
    tasks = [AbsorbTask(donors[number], image_count) for number in missing]
    for position, outcome in executor.run(tasks):
        number = missing[position]
        if outcome.error is not None:
            raise EvaluationError(
                f"The statistics of donor {donors[number].name!r} cannot be absorbed: "
                f"{outcome.error}. Without: --set donors.absorb=false."
            )
        found[number] = outcome.value
        found[number].save(paths[number])
    return [found[number].replace(name=donor.name) for number, donor in enumerate(donors)]


def _file_name(donor: Donor, image_count: int, data_fingerprint: str) -> str:
    parts = json.dumps([donor.fingerprint, image_count, data_fingerprint])
    return f"{donor.name}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}.h5"


def _kept(path: Path) -> Donor | None:
    try:
        return load_donor(path)
    except CheckpointError:
        return None  # not made yet, or not whole
