"""Donors travel with the tasks: to each worker once, to no task that was given others."""

import gc
import time
import weakref

import nano_tasks
import numpy as np
import pytest
from nano_tasks import Answer, Bomb, PlainSetup, Reader

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.ray_executor import RayExecutor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.serial_executor import SerialExecutor

SPACE = GenomeSpace(arch_spec("lite0"), 2, "block")


def _seat(first, second, floats=1):
    """Return a seat of two donors that hold nothing but a number, many times over."""
    return Seat(
        SPACE, [{"stem_conv/kernel": np.full(floats, n, np.float32)} for n in (first, second)]
    )


@pytest.fixture(scope="module")
def ray():
    """Ray as the product starts it, kept for the whole file."""
    import ray

    from efn_compose.evolve.workers.ray_session import start_ray

    ray.cloudpickle.register_pickle_by_value(nano_tasks)
    assert start_ray(ExecutorOptions(workers=2))
    yield ray
    ray.shutdown()


@pytest.fixture(params=["serial", pytest.param("ray", marks=pytest.mark.slow)])
def executor(request):
    if request.param == "serial":
        yield SerialExecutor(PlainSetup(), None)
        return
    request.getfixturevalue("ray")
    executor = RayExecutor(PlainSetup(), None, ExecutorOptions(workers=2))
    yield executor
    executor.close()


def _values(executor, tasks, seat=None):
    outcomes = dict(executor.run(tasks, seat))
    assert all(outcome.error is None for outcome in outcomes.values())
    return [outcomes[n].value for n in range(len(tasks))]


def test_every_answer_is_of_the_donors_that_were_given_with_the_task(executor):
    seats = [_seat(1, 2), _seat(3, 4), _seat(1, 2), _seat(5, 6)]
    for seat, numbers in zip(seats, ([1, 2], [3, 4], [1, 2], [5, 6]), strict=True):
        for donors, _, _ in _values(executor, [Reader()] * 6, seat):
            assert donors == numbers


def test_a_worker_fetches_a_seat_once(executor):
    _values(executor, [Reader()] * 4, _seat(7, 8))
    before = {}
    for seat in (_seat(9, 9), _seat(9, 9)):  # equal, though not the same
        for _, process, fetched in _values(executor, [Reader()] * 20, seat):
            before.setdefault(process, fetched)
            assert fetched == before[process]


def test_numbers_without_a_seat_are_an_error_though_the_worker_sat_before(executor):
    _values(executor, [Reader()] * 4, _seat(1, 2))
    outcomes = dict(executor.run([Reader(), Answer(), Reader()]))
    assert [outcomes[n].error is None for n in range(3)] == [False, True, False]
    assert "without a seat" in outcomes[0].error
    assert _values(executor, [Reader()], _seat(1, 2))[0][0] == [1, 2]


@pytest.mark.slow
def test_a_worker_that_replaces_a_dead_one_sits_where_its_task_says(ray, tmp_path):
    executor = RayExecutor(PlainSetup(), None, ExecutorOptions(workers=1))
    try:
        tasks = [Reader(), Bomb(str(tmp_path / "armed")), Reader()]
        outcomes = dict(executor.run(tasks, _seat(3, 4)))
        assert outcomes[1].attempts == 2
        (before, first, _), (after, second, fetched) = outcomes[0].value, outcomes[2].value
        assert before == after == [3, 4]
        assert first != second and fetched == 1
    finally:
        executor.close()


def test_old_seats_are_let_go_in_this_process():
    executor, alive = SerialExecutor(PlainSetup(), None), []
    for number in range(5):
        seat = _seat(number, number)
        alive.append(weakref.ref(seat))
        _values(executor, [Reader()], seat)
    del seat
    gc.collect()
    assert [reference() is not None for reference in alive] == [False] * 4 + [True]


@pytest.mark.slow
def test_the_object_store_does_not_grow_with_the_number_of_seats(ray):
    """A search that trains on seats new donors in every generation."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    executor = RayExecutor(PlainSetup(), None, ExecutorOptions(workers=2))

    def stored():
        state = get_state_from_address(ray.get_runtime_context().gcs_address)
        return get_memory_info_reply(state).store_stats.object_store_bytes_used

    size, used = 2 * 4 * 2_000_000, []
    try:
        for number in range(8):
            values = _values(executor, [Reader()] * 8, _seat(number, number, 2_000_000))
            assert all(donors == [number, number] for donors, _, _ in values)
            end = time.monotonic() + 10
            # Freed a moment after the last worker has let go.
            while stored() > 1.5 * size and time.monotonic() < end:
                time.sleep(0.05)
            used.append(stored())
        assert max(used) <= 1.5 * size, used
        assert min(used) >= size, "the seat in use is there"
    finally:
        executor.close()
