"""The promises of `executor.py`, for every kind in the table; tasks without networks."""

import pytest
from executor_kinds import KINDS, WITH_PROCESSES, started, values
from nano_tasks import Answer, Bomb, Echo, Killer, Raiser

from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executor import answer, executor_class
from efn_compose.evolve.workers.table import EXECUTORS


@pytest.fixture(scope="module", params=KINDS)
def executor(request):
    with started(request.param) as executor:
        yield executor


@pytest.mark.slow
def test_each_task_is_answered_once_by_its_position(executor):
    tasks = [Answer(0.02 * (n % 3)) for n in range(9)]
    positions = [position for position, outcome in executor.run(tasks) if not outcome.error]
    assert sorted(positions) == list(range(9))
    assert list(executor.run([])) == []


@pytest.mark.slow
def test_tasks_are_taken_only_when_a_worker_is_free(executor):
    taken, answered = [], []

    def tasks():
        for _ in range(8):
            taken.append(len(answered))
            yield Answer(0.05)

    for position, outcome in executor.run(tasks()):
        answered.append(position)
        assert outcome.error is None
    # The n-th is taken once all before it are answered, but for those that run beside it.
    assert all(n - executor.workers <= known <= n for n, known in enumerate(taken))


def test_an_exception_is_an_answer_that_says_where(executor):
    outcomes = dict(executor.run([Answer(), Raiser(), Answer()]))
    assert [outcomes[n].error is None for n in range(3)] == [True, False, True]
    assert "ValueError: no such candidate (nano_tasks.py:" in outcomes[1].error


def test_what_is_left_in_the_middle_is_not_answered_later(executor):
    running = executor.run([Answer(0.01)] * 4)
    next(running)
    running.close()
    assert values(executor, [Echo("a"), Echo("b")]) == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("executor", WITH_PROCESSES, indirect=True)
def test_a_worker_that_dies_costs_no_answer(executor, tmp_path):
    outcomes = dict(executor.run([Answer(), Bomb(str(tmp_path / "armed")), Answer()]))
    assert [outcomes[n].error for n in range(3)] == [None] * 3
    assert (outcomes[1].value, outcomes[1].attempts) == ("survived", 2)


@pytest.mark.slow
@pytest.mark.parametrize("executor", WITH_PROCESSES, indirect=True)
def test_a_task_that_kills_each_worker_is_an_answer_with_a_reason(executor):
    outcomes = dict(executor.run([Answer(), Killer(), Answer()]))
    assert [outcomes[n].error is None for n in range(3)] == [True, False, True]
    attempts = ExecutorOptions().retries + 1
    assert outcomes[1].error.startswith("worker died")
    assert outcomes[1].error.endswith(f"{attempts} times")


def test_there_are_as_many_workers_as_the_options_say_on_the_device_there_is(executor, request):
    kind = request.node.callspec.params["executor"]
    assert executor.workers == (1 if EXECUTORS[kind].is_in_process else 2)
    assert executor.device == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_trying_out_says_what_there_is(kind):
    assert executor_class(kind).try_out()


def test_the_configuration_knows_the_names_of_the_table_and_no_others():
    for kind in EXECUTORS:
        assert load_config(overrides=[f"executor.kind={kind}"]).executor.chosen == kind
    with pytest.raises(ConfigError, match="slurm"):
        load_config(overrides=["executor.kind=slurm"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, "ray"),
        ({"workers": 2}, "ray"),
        ({"workers": 1}, "serial"),
        ({"workers": 1, "address": "auto"}, "ray"),
        ({"workers": 1, "kind": "ray"}, "ray"),
        ({"workers": 4, "kind": "serial"}, "serial"),
    ],
)
def test_one_worker_needs_no_processes_unless_a_cluster_is_named(options, chosen):
    assert ExecutorOptions(**options).chosen == chosen


def test_a_deliberate_error_names_no_line_of_ours():
    class Refused:
        def run(self, worker):
            raise ConfigError("photos: no such folder")

    assert answer(Idle(), Refused(), 0).error == "ConfigError: photos: no such folder"


class Idle:
    def stand_up(self):
        pass
