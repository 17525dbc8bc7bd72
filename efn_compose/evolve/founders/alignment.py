"""Alignment inside a run: independent donors get one channel basis before they are mixed."""

from collections.abc import Sequence
from pathlib import Path

from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineages
from efn_compose.errors import EvaluationError
from efn_compose.evolve.founders.kept_donors import kept_donor, path_of
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.tasks import AlignTask

FOLDER = "aligned"
#: Training images that maps are fitted on, at most.
ALIGN_IMAGES = 200


def needs_alignment(donors: Sequence[Donor]) -> bool:
    """Return whether donors descend from more than one training."""
    return len(lineages(donors)) > 1


def align_donors(
    donors: Sequence[Donor],
    run_seed: int,
    data_fingerprint: str,
    executor: Executor,
    folder: Path,
) -> list[Donor]:
    """Write donors of other lineages in the first one's channel basis.

    Aligned donors are kept in the run folder under a name that says what they
    were made from, and not made again.

    Args:
        donors: Harmonised, headless donors of one network.
        run_seed: The run's seed.
        data_fingerprint: Of the data set the images come from.
        executor: One of its workers fits the maps.
        folder: Where aligned donors are kept.

    Returns:
        Donors in the given order and with the given names.

    Raises:
        EvaluationError: The alignment failed.
    """
    seed = derive_seed(run_seed, "partition")
    parts = [[donor.fingerprint for donor in donors], ALIGN_IMAGES, seed, data_fingerprint]
    paths = [path_of(folder, donor, parts) for donor in donors]
    found = (kept_donor(path, donor.name) for path, donor in zip(paths, donors, strict=True))
    kept = [donor for donor in found if donor is not None]
    if len(kept) == len(donors):
        return kept
    folder.mkdir(exist_ok=True)
    for _, outcome in executor.run([AlignTask(tuple(donors), ALIGN_IMAGES, seed)]):
        if outcome.error is not None:
            raise EvaluationError(
                f"The donors cannot be aligned: {outcome.error}. "
                "Mixing them as they are: --set donors.align=never."
            )
        for path, donor in zip(paths, outcome.value, strict=True):
            donor.save(path)
        return list(outcome.value)
    raise EvaluationError("The executor did not answer.")
