"""Every kind of executor in the table, for tests that hold all of them to one contract."""

import contextlib

import nano_tasks
import pytest

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executor import make_executor
from efn_compose.evolve.workers.table import EXECUTORS

#: Parameters of a fixture; what starts processes is slow.
KINDS = [
    pytest.param(kind, marks=[] if line.is_in_process else [pytest.mark.slow])
    for kind, line in EXECUTORS.items()
]
#: Of those that have workers which can die.
WITH_PROCESSES = [
    pytest.param(kind, marks=[pytest.mark.slow])
    for kind, line in EXECUTORS.items()
    if not line.is_in_process
]


@contextlib.contextmanager
def started(kind, setup=None, data=None, **options):
    """Give an executor of a kind with two workers, of tasks without a network by default.

    One of a kind at a time: two would wait for each other's cores.
    """
    if not EXECUTORS[kind].is_in_process:
        keep_ray()
    options = {"workers": 2} | options
    executor = make_executor(
        setup or nano_tasks.PlainSetup(), data, ExecutorOptions(kind=kind, **options)
    )
    try:
        yield executor
    finally:
        executor.close()
        executor.close()  # closing twice does no harm


def keep_ray():
    """Return Ray as the product starts it, once for all files of this process; it ends at exit."""
    import ray

    from efn_compose.evolve.workers.executors.ray_session import start_ray

    start_ray(ExecutorOptions(workers=2))
    # Let the tasks of the tests travel as code: workers do not see this folder.
    ray.cloudpickle.register_pickle_by_value(nano_tasks)
    return ray


def values(executor, tasks, seat=None):
    """Return the answers of tasks that must not fail, in their order."""
    outcomes = dict(executor.run(tasks, seat))
    assert sorted(outcomes) == list(range(len(tasks)))
    assert [o.error for o in outcomes.values() if o.error] == []
    return [outcomes[n].value for n in range(len(tasks))]
