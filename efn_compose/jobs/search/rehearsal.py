"""The cost and the noise of a run, from a few evaluations; writes nothing."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.config import dump_toml
from efn_compose.data import DataSet
from efn_compose.errors import ConfigError
from efn_compose.jobs.search.batch_size import with_batch_size
from efn_compose.jobs.search.preparation import Prepared, memory_plan, start_workers
from efn_compose.store.atomic import free_bytes

if TYPE_CHECKING:
    from efn_compose.evolve.workers.executor import Executor
    from efn_compose.evolve.workers.seat import Seat
    from efn_compose.evolve.workers.task import Outcome, Task

#: Evaluations shorter than this are measured a few times more.
_SHORT_SECONDS = 10.0


def _silent(text: str) -> None:
    """Say nothing."""


def measure_noise(
    prepared: Prepared, seeds: int, note: Callable[[str], None] = _silent
) -> dict[str, Any]:
    """Return how much the first donor's scores vary over seeds; writes nothing.

    Args:
        prepared: Configuration, donors and data.
        seeds: Number of seeds, at least 2.
        note: Told how far it is.

    Returns:
        The donor's name, its losses, and mean and standard deviation by metric.

    Raises:
        ConfigError: Fewer than two seeds, or an evaluation failed.
        EvaluationError: The donor's statistics could not be absorbed.
    """
    from efn_compose.compose import Recipe, genome_space
    from efn_compose.evolve.founders.absorption import absorb_donors
    from efn_compose.evolve.journal.seeds import derive_seed
    from efn_compose.evolve.workers.seat import Seat
    from efn_compose.evolve.workers.tasks import EvaluationTask

    if seeds < 2:
        raise ConfigError(f"A spread needs at least 2 seeds. Received: {seeds}.")
    prepared, batch_note = with_batch_size(prepared)
    if batch_note:
        note(batch_note)
    config = prepared.config
    donors = list(prepared.donors[:1])
    space = genome_space(donors[0].spec, 1, config.search.part)
    recipe = Recipe.genome(space.pure(0))
    tasks = [
        EvaluationTask(recipe, derive_seed(config.run.seed, "noise", number), config.fitness.passes)
        for number in range(seeds)
    ]
    executor = start_workers(prepared)
    try:
        if config.donors.absorb != "never":
            part = config.donors.absorb
            donors = absorb_donors(donors, part, prepared.data.fingerprint, executor, None)
        outcomes = _watched(executor, tasks, Seat(space, [donors[0].tensors]), note)
    finally:
        executor.close()
    failed = [o.error or o.value.error for o in outcomes.values() if o.error or o.value.error]
    if failed:
        raise ConfigError(f"{len(failed)} of {seeds} evaluations failed: {failed[0]}.")
    scores = [outcomes[number].value.scores["validation"] for number in range(seeds)]
    columns = {metric: [score[metric] for score in scores] for metric in scores[0]}
    return {
        "donor": donors[0].name,
        "losses": columns["loss"],
        "spread": {
            metric: {"mean": statistics.fmean(values), "deviation": statistics.stdev(values)}
            for metric, values in columns.items()
        },
    }


def dry_run(prepared: Prepared, note: Callable[[str], None] = _silent) -> dict[str, Any]:
    """Return the cost of a run, from a measured evaluation per worker; write nothing.

    Args:
        prepared: Configuration, donors and data.
        note: Told how far it is.

    Returns:
        Resolved configuration (TOML text), plan of memory and disk, data, genome size,
        evaluations by phase, seconds per evaluation, workers, estimated seconds, bytes in memory and on disk.
    """
    from efn_compose.compose import Recipe, genome_space
    from efn_compose.evolve.founders.alignment import needs_alignment
    from efn_compose.evolve.workers.seat import Seat
    from efn_compose.evolve.workers.tasks import EvaluationTask

    prepared, batch_note = with_batch_size(prepared)
    config = prepared.config
    donor_count = len(prepared.donors) * (1 + config.donors.siblings)
    space = genome_space(prepared.donors[0].spec, donor_count, config.search.part)
    began = time.perf_counter()
    executor = start_workers(prepared)
    try:
        first = genome_space(space.spec, len(prepared.donors), config.search.part)
        seat = Seat(first, [donor.tensors for donor in prepared.donors])
        task = EvaluationTask(Recipe.genome(first.pure(0)), 1, config.fitness.passes)
        pace = _measure_pace(executor, task, seat, began, note)
        workers = executor.workers
    finally:
        executor.close()
    seconds, start = pace.seconds, pace.start
    plan = config.kind.plan(config.finals, donor_count, workers, config.budget)
    phases = dict(plan.phases)
    # Siblings of a donor share the training images: together they cost about an evaluation.
    rest = plan.rounds_of_rest
    rest += math.ceil(len(prepared.donors) / workers) if config.donors.siblings else 0
    estimated = start + (plan.rounds + rest) * seconds
    hours = config.budget.hours
    if hours:
        # The search gets the hours that noise, finals and test leave.
        rounds = (hours * 3600 - start) / seconds - rest
        phases["search"] = config.kind.evaluations_within(donor_count, rounds, workers)
        estimated = hours * 3600
    tensors = prepared.donors[0].tensors
    bytes_per_file = sum(array.nbytes for array in tensors.values())
    options = config.donors
    # The written weights; aligned and absorbed copies and siblings of donors; generations.
    copies = options.siblings + (options.absorb != "never")
    copies += options.align == "auto" and needs_alignment(prepared.donors)
    files = 1 + copies * len(prepared.donors) + plan.networks
    disk = bytes_per_file * files
    parts = (prepared.data.split.train, prepared.data.split.validation, prepared.data.split.test)
    memory = memory_plan(config, prepared.donors, sum(map(len, parts)))
    return {
        "plan": memory.to_json() | {"words": str(memory)},
        "data": _describe(prepared.data),
        "siblings": config.donors.siblings * len(prepared.donors),
        "image_bytes": _image_bytes(prepared.data),
        "donor_bytes": bytes_per_file * donor_count,
        "worker_bytes": round(1e6 * pace.memory_mb),
        "device": config.executor.device,
        "config": dump_toml(config),
        "run_folder": str(prepared.folder),
        "network": space.spec.variant,
        "donors": [donor.name for donor in prepared.donors],
        "genes": len(space.loci),
        "genomes": f"about 10^{sum(map(math.log10, space.cardinalities)):.0f}",
        "evaluations": phases,
        "workers": workers,
        "workers_note": plan.note,
        "batch_size": config.fitness.batch_size,
        "batch_size_note": batch_note,
        "seconds_per_evaluation": round(seconds, 3),
        "estimated_seconds": round(estimated, 1),
        "disk_bytes": disk,
        "free_bytes": free_bytes(prepared.folder),
    }


@dataclass(frozen=True)
class _Pace:
    """How fast workers are, and how large.

    Args:
        seconds: Of an evaluation in a worker.
        start: Seconds until workers are there and have traced the network.
        memory_mb: Peak of the largest worker.
    """

    seconds: float
    start: float
    memory_mb: float


def _measure_pace(
    executor: "Executor", task: "Task", seat: "Seat", began: float, note: Callable[[str], None]
) -> _Pace:
    """Evaluate a few times in every worker; `began` is when the executor was asked for.

    Raises:
        ConfigError: An evaluation failed.
    """
    workers = executor.workers
    # Every worker's first task traces the network; the second is about what all others cost.
    why = "; a worker's first one also traces the network"
    outcomes = list(_watched(executor, [task] * (2 * workers), seat, note, why).values())
    seconds = statistics.fmean(sorted(outcome.seconds for outcome in outcomes)[:workers])
    start = time.perf_counter() - began - seconds
    if seconds < _SHORT_SECONDS:
        # Where evaluations are short, the second one's caches are still cold.
        why = "; they are short"
        more = list(_watched(executor, [task] * (3 * workers), seat, note, why).values())
        outcomes += more
        seconds = statistics.median(outcome.seconds for outcome in more)
    failed = [outcome.error or outcome.value.error for outcome in outcomes]
    if any(failed):
        raise ConfigError(f"A first evaluation failed: {next(filter(None, failed))}.")
    return _Pace(seconds, start, max(outcome.memory_mb for outcome in outcomes))


def _watched(
    executor: "Executor",
    tasks: "Sequence[Task]",
    seat: "Seat",
    note: Callable[[str], None],
    why: str = "",
) -> "dict[int, Outcome]":
    """Return the outcomes of tasks by position, saying how far it is."""
    workers = "1 worker" if executor.workers == 1 else f"{executor.workers} workers"
    note(f"Measuring {len(tasks)} evaluations on {workers}{why}")
    outcomes = {}
    for position, outcome in executor.run(tasks, seat):
        outcomes[position] = outcome
        note(f"  {len(outcomes)} of {len(tasks)}: {outcome.seconds:.1f} s")
    return outcomes


def _describe(data: DataSet) -> dict[str, Any]:
    """Return a description of the images, so that a mistake is seen before a long run."""
    parts = {
        "train": data.train_labels,
        "validation": data.validation_labels,
        "test": data.test_labels,
    }
    counts = {part: np.bincount(labels, minlength=data.classes) for part, labels in parts.items()}
    return {
        "source": data.name,
        "size": data.size,
        "images": {part: len(labels) for part, labels in parts.items()},
        "classes": {
            name: {part: int(count[number]) for part, count in counts.items()}
            for number, name in enumerate(data.class_names)
        },
        "left_out": len(data.left_out),
    }


def _image_bytes(data: DataSet) -> int:
    return data.train_images.nbytes + data.validation_images.nbytes + data.test_images.nbytes
