"""Siblings: donors of one lineage, made from a donor inside the run."""

from collections.abc import Sequence
from pathlib import Path

from efn_compose.donors import Donor
from efn_compose.errors import EvaluationError
from efn_compose.evolve.founders.kept_donors import kept_donor
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import SiblingTask

FOLDER = "siblings"


def make_siblings(
    donors: Sequence[Donor],
    count: int,
    run_seed: int,
    executor: Executor,
    seat: Seat,
    folder: Path,
) -> list[Donor]:
    """Train `count` siblings of every donor, each on its own share of the training images.

    Each sibling of a donor sees another share (half of the images where there
    are two), so that siblings differ and none sees more than its share.
    Finished siblings are kept in the run folder and not made again.

    Args:
        donors: Headless donors.
        count: Siblings per donor.
        run_seed: The run's seed.
        executor: Trains them.
        seat: The donors, in the same order.
        folder: Where their weight files go.

    Returns:
        All siblings, donor by donor.

    Raises:
        EvaluationError: A training failed.
    """
    folder.mkdir(exist_ok=True)
    partition_seed = derive_seed(run_seed, "partition")
    plan = [
        (donor, SiblingTask(number, derive_seed(run_seed, "sibling", number * count + share),
                            share, count, partition_seed))
        for number, donor in enumerate(donors)
        for share in range(count)
    ]  # fmt: skip
    kept = [_kept(folder, donor, task) for donor, task in plan]
    siblings = {position: sibling for position, sibling in enumerate(kept) if sibling is not None}
    missing = [position for position in range(len(plan)) if position not in siblings]
    for number, outcome in executor.run([plan[position][1] for position in missing], seat):
        position = missing[number]
        donor, task = plan[position]
        if outcome.error is not None:
            raise EvaluationError(
                f"Sibling {task.share + 1} of donor {donor.name!r} cannot be made: {outcome.error}."
            )
        sibling = donor.replace(
            name=_name(donor, task),
            tensors=outcome.value,
            provenance={**donor.provenance, "sibling": _origin(donor, task)},
        )
        sibling.save(folder / f"{sibling.name}.h5")
        siblings[position] = sibling
    return [siblings[position] for position in range(len(plan))]


def _name(donor: Donor, task: SiblingTask) -> str:
    return f"{donor.name}_sibling{task.share + 1}"


def _origin(donor: Donor, task: SiblingTask) -> dict[str, object]:
    """Return the origin of a sibling, which decides whether a kept file still fits."""
    return {
        "of": donor.fingerprint,
        "seed": task.seed,
        "share": task.share,
        "share_count": task.share_count,
    }


def _kept(folder: Path, donor: Donor, task: SiblingTask) -> Donor | None:
    sibling = kept_donor(folder / f"{_name(donor, task)}.h5", _name(donor, task))
    fits = sibling is not None and sibling.provenance.get("sibling") == _origin(donor, task)
    return sibling if fits else None
