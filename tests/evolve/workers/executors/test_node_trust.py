"""Nodes whose workers fail where others do not, on a made-up cluster."""

import sys

import pytest
from fake_ray import Double, FakeNode, FakeRay

from efn_compose.errors import RunError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executors import ray_executor
from efn_compose.evolve.workers.executors.node_trust import FEW
from efn_compose.evolve.workers.executors.ray_executor import RayExecutor

TASKS = [Double(value) for value in range(40)]


@pytest.fixture
def make(monkeypatch):
    def make_executor(*nodes, **options):
        monkeypatch.setitem(sys.modules, "ray", FakeRay(nodes))
        monkeypatch.setattr(ray_executor, "start_ray", lambda options: True)
        notes = []
        executor = RayExecutor(None, None, ExecutorOptions(**options), notes.append)
        executor.notes = notes
        return executor

    return make_executor


def _answers(executor, tasks=TASKS):
    """Return the answers by position; each task has one."""
    found = list(executor.run(tasks))
    assert sorted(position for position, _ in found) == list(range(len(tasks)))
    return dict(found)


def _all_right(answers):
    assert [outcome.error for outcome in answers.values() if outcome.error] == []
    assert all(outcome.value == 2 * position for position, outcome in answers.items())


@pytest.mark.parametrize("fault", ["fails", "dies"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_node_that_fails_where_others_do_not_is_put_aside_and_costs_no_answer(
    make, fault, is_first
):
    bad, good = FakeNode("bad", fault=fault), FakeNode("good")
    executor = make(*((bad, good) if is_first else (good, bad)))
    _all_right(_answers(executor))
    assert len(bad.asked) <= FEW + bad.slots
    (note,) = executor.notes
    assert note.startswith("Node bad is put aside") and "The run goes on with these." in note
    before = len(bad.asked)
    _all_right(_answers(executor))
    assert len(bad.asked) == before and len(executor.notes) == 1


def test_of_three_nodes_two_may_be_bad(make):
    bad = [FakeNode("one", fault="fails"), FakeNode("two", fault="dies")]
    executor = make(*bad, FakeNode("good"))
    _all_right(_answers(executor))
    assert sorted(note.split()[1] for note in executor.notes) == ["one", "two"]


def test_a_node_that_breaks_in_the_middle_costs_one_answer_per_worker_at_most(make):
    bad = FakeNode("bad", fault="fails", sound=10)
    executor = make(bad, FakeNode("good"))
    answers = _answers(executor)
    failed = [outcome for outcome in answers.values() if outcome.error]
    assert len(failed) <= bad.slots and "bad is put aside" in executor.notes[0]
    assert len(bad.asked) <= 10 + 2 * bad.slots + FEW


def test_tasks_that_fail_everywhere_put_no_node_aside(make):
    tasks = [Double(value, fails=value % 3 > 0) for value in range(60)]
    executor = make(FakeNode("one"), FakeNode("two", seconds=0.1))
    answers = _answers(executor, tasks)
    assert {n for n, outcome in answers.items() if outcome.error} == {
        n for n, task in enumerate(tasks) if task.fails
    }
    assert not executor.notes


@pytest.mark.parametrize("fault", ["fails", "dies"])
def test_where_all_nodes_fail_every_task_says_so(make, fault):
    nodes = [FakeNode("one", fault=fault), FakeNode("two", fault=fault)]
    executor = make(*nodes)
    answers = _answers(executor)
    words = "no disk" if fault == "fails" else "worker died"
    assert all(words in outcome.error for outcome in answers.values())
    assert not executor.notes


def test_one_node_alone_is_never_doubted(make):
    node = FakeNode("one", fault="fails", slots=3)
    answers = _answers(make(node))
    assert len(node.asked) == len(TASKS) and all(outcome.error for outcome in answers.values())


def test_the_rest_of_a_cluster_does_without_workers_that_die_as_they_start(make):
    executor = make(FakeNode("good"), FakeNode("bad", fault="starts", slots=3))
    _all_right(_answers(executor))
    (note,) = executor.notes
    assert "A worker died 5 times as it started" in note and "no driver of the device" in note


def test_where_no_worker_starts_the_run_ends_with_the_reason(make):
    executor = make(FakeNode("bad", fault="starts"))
    with pytest.raises(RunError, match="A worker cannot start: no driver of the device"):
        _answers(executor)


def test_a_failure_at_once_does_not_shorten_the_time_that_others_may_take(make):
    executor = make(FakeNode("bad", fault="fails", slots=1), FakeNode("good", seconds=7.0))
    _answers(executor)
    assert executor._limit.seconds(TASKS[0].pace) == 30.0 + 10 * 7.0
