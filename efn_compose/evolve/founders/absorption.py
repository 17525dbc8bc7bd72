"""Absorption inside a run: every donor is rewritten for the statistics of the training images."""

from collections.abc import Sequence
from pathlib import Path

from efn_compose.donors import Donor
from efn_compose.errors import EvaluationError
from efn_compose.evolve.founders.kept_donors import kept_donor, path_of
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.tasks import AbsorbTask
from efn_compose.statistics.absorb import ABSORB_IMAGES, Part

FOLDER = "absorbed"


def absorb_donors(
    donors: Sequence[Donor],
    part: Part,
    data_fingerprint: str,
    executor: Executor,
    folder: Path | None,
) -> list[Donor]:
    """Rewrite donors' BatchNorm for the statistics of training images, function kept.

    Rewritten donors are kept in a folder under a name that names their origin, and
    not made again.

    Args:
        donors: Harmonised, headless donors of one network.
        part: Of each donor: all, or its body.
        data_fingerprint: Of the data set the images come from.
        executor: Its workers do it, a donor each.
        folder: Where rewritten donors are kept; None: nowhere.

    Returns:
        Donors in the given order and with the given names.

    Raises:
        EvaluationError: A donor could not be rewritten.
    """
    paths: dict[int, Path] = {}
    if folder is not None:
        folder.mkdir(exist_ok=True)
        for number, donor in enumerate(donors):
            made_from = [donor.fingerprint, part, ABSORB_IMAGES, data_fingerprint]
            paths[number] = path_of(folder, donor, made_from)
    kept = {number: kept_donor(path, donors[number].name) for number, path in paths.items()}
    found = {number: donor for number, donor in kept.items() if donor is not None}
    missing = [number for number in range(len(donors)) if number not in found]
    tasks = [AbsorbTask(donors[number], ABSORB_IMAGES, part) for number in missing]
    for position, outcome in executor.run(tasks):
        number = missing[position]
        if outcome.error is not None:
            raise EvaluationError(
                f"The statistics of donor {donors[number].name!r} cannot be absorbed: "
                f"{outcome.error}. Without: --set donors.absorb=never."
            )
        found[number] = outcome.value
        if number in paths:
            outcome.value.save(paths[number])
    return [found[number] for number in range(len(donors))]
