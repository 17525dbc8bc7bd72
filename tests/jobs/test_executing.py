"""Workers that would have no task are not started, also where their number is left open."""

import pytest
from nano_tasks import Answer, PlainSetup

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executors.ray_session import worker_count
from efn_compose.evolve.workers.executors.serial_executor import SerialExecutor
from efn_compose.evolve.workers.table import EXECUTORS, ExecutorKind
from efn_compose.jobs.executing import answering

CORES = {"CPU": 64.0}
started = []


class ManyCores(SerialExecutor):
    """Answers in this process, and notes the workers that Ray would start on 64 cores."""

    def __init__(self, setup, data, options, note=None, most=None):
        super().__init__(setup, data, options, note, most)
        started.append(worker_count(options, "cpu", CORES, most))


@pytest.fixture(autouse=True)
def many(monkeypatch):
    started.clear()
    kind = ExecutorKind(f"{__name__}:ManyCores")
    monkeypatch.setitem(EXECUTORS, "many", kind)


@pytest.mark.parametrize(
    ("workers", "tasks", "wanted"), [(0, 3, 3), (0, 200, 64), (8, 3, 3), (2, 9, 2)]
)
def test_as_many_workers_as_tasks_at_most(workers, tasks, wanted):
    options = ExecutorOptions(kind="many", workers=workers)
    with answering(PlainSetup(), None, options, print, most=tasks) as answer:
        assert len(list(answer([Answer()] * tasks))) == tasks
    assert started == [wanted]


def test_without_tasks_nothing_is_started():
    with answering(PlainSetup(), None, ExecutorOptions(kind="many"), print, most=0) as answer:
        assert list(answer([])) == []
    assert started == []
