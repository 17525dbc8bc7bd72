"""How long a search for a policy takes at most, measured on this machine."""

import time
from dataclasses import dataclass

from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.pace import measure_on_processor, measure_pace
from efn_compose.jobs.policies.expected import NOTHING, Pair
from efn_compose.jobs.policies.preparation import PreparedPolicy
from efn_compose.jobs.policies.worker import PolicyWorker

#: Pairs that are measured for it: one of either kind of operation.
_TRIED: tuple[Pair, ...] = ((("rotate", 15.0), NOTHING), (("equalize", 0.0), ("contrast", 0.45)))


@dataclass(frozen=True)
class PolicyEstimate:
    """The time of a search with one worker.

    Args:
        search_hours: Of all pairs of steps, which is the most that a search measures.
        verdict_hours: Of the fresh trainings.
        pairs: Number of all pairs of steps.
    """

    search_hours: float
    verdict_hours: float
    pairs: int


def estimate_hours(prepared: PreparedPolicy) -> PolicyEstimate:
    """Measure two pairs of steps and a short training, and say how long all may take.

    Args:
        prepared: The search.
    """
    setup = prepared.setup
    if not EXECUTORS[prepared.config.executor.chosen].is_in_process:
        measure_on_processor(setup.threads)
    worker = PolicyWorker(setup, prepared.data)
    seconds = 0.0
    for number in range(len(prepared.networks)):
        worker.scorer.pairs(number, _TRIED)  # traced, and the weights in their place
        begun = time.perf_counter()
        worker.scorer.pairs(number, _TRIED)
        seconds += (time.perf_counter() - begun) / len(_TRIED)
    pairs = len(prepared.space.steps) ** 2
    pace = measure_pace(prepared.donor.spec, prepared.trainings.config.data.size)
    fold = prepared.folds[0]
    trained = int((prepared.data.fold != fold).sum())
    epoch = trained * pace.train
    epoch += (min(trained, setup.train.statistics_images) + len(setup.judging[fold])) * pace.forward
    trainings = 2 * prepared.config.policy.seeds * setup.train.all_epochs * epoch + pace.set_up
    return PolicyEstimate(pairs * seconds / 3600, trainings / 3600, pairs)
