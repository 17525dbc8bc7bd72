"""Ray workers without networks: retries, hangs, memory, waiting, joining, listening. Real Ray."""

import contextlib
import os
import time

import psutil
import pytest
from executor_kinds import keep_ray
from nano_tasks import (
    Answer,
    Bomb,
    Farewell,
    Grower,
    Hoarder,
    PlainSetup,
    Priority,
    Raiser,
    Sleeper,
)

from efn_compose.errors import RunError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executors import ray_executor
from efn_compose.evolve.workers.executors.ray_executor import RayExecutor
from efn_compose.evolve.workers.executors.worker_check import describe_process

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray():
    """Ray as the product starts it."""
    return keep_ray()


@pytest.fixture
def make(ray):
    made, notes = [], []

    def make_executor(**options):
        executor = RayExecutor(PlainSetup(), None, ExecutorOptions(**options), notes.append)
        executor.notes = notes
        made.append(executor)
        return executor

    yield make_executor
    for executor in made:
        executor.close()


def test_no_more_workers_are_started_than_tasks_can_run_side_by_side(ray):
    for workers in (0, 2):
        executor = RayExecutor(PlainSetup(), None, ExecutorOptions(workers=workers), most=1)
        try:
            assert executor.workers == 1
            assert sorted(position for position, _ in executor.run([Answer(), Answer()])) == [0, 1]
        finally:
            executor.close()


@pytest.fixture(scope="class")
def two(ray):
    executor = RayExecutor(PlainSetup(), None, ExecutorOptions(workers=2))
    yield executor
    executor.close()


class TestTwoWorkers:
    """Of one executor; the last test closes it, so that the other tests find free places."""

    def test_workers_have_the_priority_of_the_process_they_work_for(self, two):
        assert dict(two.run([Priority()]))[0].value == os.nice(0)

    def test_a_search_left_in_the_middle_leaves_no_answer_behind(self, two):
        before = {outcome.value for _, outcome in two.run([Answer(0.3)] * 4)}
        assert len(before) == 2
        for _ in two.run([Answer(0.01), Answer(60), Answer(60)]):
            break
        answers = dict(two.run([Answer(0.3)] * 4))
        assert sorted(answers) == list(range(4))
        # The one that was busy has been replaced, not waited for.
        assert not before <= {outcome.value for outcome in answers.values()}

    def test_idle_workers_end_by_themselves_and_clean_up(self, two, tmp_path):
        """Killed ones leave TensorFlow's temporary files behind, ten for each worker."""
        left = [tmp_path / "first", tmp_path / "second"]
        assert all(o.error is None for _, o in two.run([Farewell(str(path)) for path in left]))
        two.close()
        end = time.monotonic() + 60
        while not all(path.exists() for path in left) and time.monotonic() < end:
            time.sleep(0.1)
        assert all(path.exists() for path in left)


def test_failures_of_all_kinds_are_answers(make, tmp_path):
    executor = make(workers=1, retries=0, patience=3.0)
    assert dict(executor.run([Answer()]))[0].error is None
    names = ("hangs", "dies")
    tasks = [Sleeper(str(tmp_path / names[0])), Bomb(str(tmp_path / names[1])), Raiser(), Hoarder()]
    outcomes = dict(executor.run([*tasks, Answer()]))
    assert "no answer within 3 s (see executor.patience), worker killed" in outcomes[0].error
    assert "worker died" in outcomes[1].error
    assert "ValueError" in outcomes[2].error
    assert "MemoryError" in outcomes[3].error
    assert outcomes[4].error is None, "the worker after all of them works"


def test_an_evaluation_far_above_the_median_is_asked_again(make, tmp_path, monkeypatch):
    from efn_compose.evolve.workers.executors import time_limit

    monkeypatch.setattr(time_limit, "_FLOOR_SECONDS", 0.5)
    executor = make(workers=1, patience=1e6)
    (tmp_path / "awake").touch()
    quick, slow = (Sleeper(str(tmp_path / name)) for name in ("awake", "slept"))
    assert len(dict(executor.run([quick] * 5))) == 5
    # Left alone it would sleep to its end and need one attempt only.
    outcome = dict(executor.run([slow]))[0]
    assert (outcome.value, outcome.attempts) == ("woke up", 2)


def test_a_worker_that_grew_is_replaced_after_its_answer(make):
    first = dict(make(workers=1).run([Answer()]))[0]
    executor = make(workers=1, memory_limit_mb=int(first.memory_mb) + 300)
    outcomes = dict(executor.run([Answer(), Grower(100), Grower(500), Answer()]))
    processes = [outcomes[n].value for n in range(4)]
    assert processes[0] == processes[1] == processes[2] != processes[3]


def test_a_worker_that_begins_above_its_limit_is_kept_until_it_grows(make):
    """Else every answer of a run with many images would cost a worker and a trace."""
    executor = make(workers=1, memory_limit_mb=1)
    outcomes = dict(executor.run([Answer(), Answer(), Grower(1000), Answer(), Answer()]))
    processes = [outcomes[n].value for n in range(5)]
    assert len(set(processes[:3])) == len(set(processes[3:])) == 1
    assert processes[2] != processes[3]
    assert len([note for note in executor.notes if "executor.memory_limit_mb = 1." in note]) == 1


def test_more_workers_than_places_is_said_and_the_others_work(make, ray):
    places = int(ray.cluster_resources()["CPU"])
    executor = make(workers=places + 3, patience=10.0)
    outcomes = dict(executor.run([Answer(0.3)] * 20))
    assert len({outcome.value for outcome in outcomes.values()}) == places
    assert any("workers wait for a place. Each needs 1 CPU" in note for note in executor.notes)
    assert len(executor.notes) <= 3, "each is told once"


def test_no_place_at_all_ends_with_a_reason_instead_of_waiting_for_ever(make, ray):
    holder = make(workers=int(ray.cluster_resources()["CPU"]))
    assert dict(holder.run([Answer()]))[0].error is None
    blocked = make(workers=1, patience=2.0)
    with pytest.raises(RunError, match="No worker could be placed within 2 s"):
        dict(blocked.run([Answer()]))


def test_other_code_on_a_node_is_refused_with_what_differs(make, monkeypatch):
    ours = describe_process() | {"keras": "2.0", "efn_compose": "other"}
    monkeypatch.setattr(ray_executor, "describe_process", lambda: ours)
    executor = make(workers=1)
    with pytest.raises(RunError, match=r"does not run what this process runs") as error:
        dict(executor.run([Answer()]))
    assert "keras: " in str(error.value)
    assert "2.0 here" in str(error.value)
    assert "efn_compose: " in str(error.value)


def test_ray_listens_on_loopback_only_and_runs_no_dashboard(ray):
    listening, connections = set(), []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            connections += [(process.name(), c) for c in process.net_connections("inet")]
    for name, connection in connections:
        if connection.status == psutil.CONN_LISTEN:
            listening.add((name, connection.laddr.ip))
    assert listening, "Ray's processes were found"
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening
    assert ray.worker._global_node.webui_url in (None, "")
