"""The batch size of a run whose configuration leaves it open (`fitness.batch_size = 0`).

The largest that fits is the fastest, and no more than that: an epoch of larger batches makes fewer
steps, so that weights move less from where they began and scores say more about the start than about
the training. So an epoch keeps its steps, whatever would fit, and the number found is written into
the run's configuration: batch size changes scores, so one run has one, resumed runs included.
"""

import dataclasses
import os
from dataclasses import dataclass

from efn_compose.errors import ConfigError
from efn_compose.jobs.search.evaluation_length import with_epochs
from efn_compose.jobs.search.preparation import Prepared, start_workers
from efn_compose.store.environment import free_memory

#: Steps that an epoch keeps.
LEAST_STEPS = 16
#: Of the free memory, what workers may take together.
_SHARE_OF_FREE = 0.8


@dataclass(frozen=True)
class BatchSize:
    """A batch size and why.

    Args:
        images: Per step.
        words: The batches that were tried, and the reason for the last one.
    """

    images: int
    words: str


def with_batch_size(prepared: Prepared) -> tuple[Prepared, str]:
    """Return a run's preparation with its batch size settled, and notes; writes nothing.

    The notes say what the batch size is, and how long evaluations are for it.

    Args:
        prepared: Configuration, donors and data.

    Raises:
        ConfigError: Not even the smallest batch fits.
    """
    if prepared.config.fitness.batch_size:
        return prepared, ""
    found = find_batch_size(prepared)
    fitness = dataclasses.replace(prepared.config.fitness, batch_size=found.images)
    config = dataclasses.replace(prepared.config, fitness=fitness)
    config, length_note = with_epochs(config, len(prepared.data.train_labels))
    notes = (f"Batch size {found.images}: {found.words}.", length_note)
    return dataclasses.replace(prepared, config=config), " ".join(filter(None, notes))


def find_batch_size(prepared: Prepared) -> BatchSize:
    """Return the largest power of two that fits in a worker and leaves an epoch its steps.

    Raises:
        ConfigError: Not even the smallest batch fits.
    """
    from efn_compose.compose import genome_space
    from efn_compose.evolve.workers.seat import Seat
    from efn_compose.evolve.workers.tasks import BatchSizeTask

    most = max(1, len(prepared.data.train_labels) // LEAST_STEPS)
    granularity = prepared.config.search.part
    space = genome_space(prepared.donors[0].spec, len(prepared.donors), granularity)
    seat = Seat(space, [donor.tensors for donor in prepared.donors])
    executor = start_workers(prepared)
    try:
        limit = _limit_bytes(prepared.config.executor.memory_limit_mb, executor.workers)
        outcomes = executor.run([BatchSizeTask(limit, most)], seat)
        outcome = next(outcome for _, outcome in outcomes)
    finally:
        executor.close()
    if outcome.error or not outcome.value:
        raise ConfigError(
            "fitness.batch_size = 0, but no batch fits in a worker's memory "
            f"({limit / 1e6:,.0f} MB): {outcome.error or 'even the smallest is too large'}. "
            "Raise executor.memory_limit_mb, or use fewer workers, smaller images (data.size), or a "
            "smaller network."
        )
    images, peak = outcome.value[-1]
    if 2 * images > most:
        why = f"an epoch keeps {LEAST_STEPS} steps or more; twice as many were not tried"
    else:
        why = f"twice as many would not fit in {limit / 1e6:,.0f} MB"
    words = f"a worker took {peak / 1e6:,.0f} MB with it, and {why}"
    return BatchSize(images, words)


def _limit_bytes(memory_limit_mb: int, workers: int) -> float:
    """Return the memory of each worker: its limit, or its share of the free memory."""
    free = free_memory()
    if free is None:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    share = _SHARE_OF_FREE * free / workers
    return min(memory_limit_mb * 1e6, share) if memory_limit_mb else share
