"""Donors travel with the tasks: to each worker once, to no task that was given others."""

import gc
import time
import weakref

import numpy as np
import pytest
from executor_kinds import KINDS, WITH_PROCESSES, started, values
from nano_tasks import Answer, BombedReader, Reader

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.workers.seat import Seat

SPACE = GenomeSpace(arch_spec("lite0"), 2, "block")


def _seat(first, second, floats=1):
    """Return a seat of two donors that hold nothing but a number, many times over."""
    return Seat(
        SPACE, [{"stem_conv/kernel": np.full(floats, n, np.float32)} for n in (first, second)]
    )


@pytest.fixture(scope="module", params=KINDS)
def executor(request):
    with started(request.param) as executor:
        yield executor


@pytest.mark.slow
def test_every_answer_is_of_the_donors_that_were_given_with_the_task(executor):
    seats = [_seat(1, 2), _seat(3, 4), _seat(1, 2), _seat(5, 6)]
    for seat, numbers in zip(seats, ([1, 2], [3, 4], [1, 2], [5, 6]), strict=True):
        for donors, _, _ in values(executor, [Reader()] * 6, seat):
            assert donors == numbers


def test_a_worker_fetches_a_seat_once(executor):
    values(executor, [Reader()] * 4, _seat(7, 8))
    before = {}
    for seat in (_seat(9, 9), _seat(9, 9)):  # equal, though not the same
        for _, process, fetched in values(executor, [Reader()] * 20, seat):
            before.setdefault(process, fetched)
            assert fetched == before[process]


def test_numbers_without_a_seat_are_an_error_though_the_worker_sat_before(executor):
    values(executor, [Reader()] * 4, _seat(1, 2))
    outcomes = dict(executor.run([Reader(), Answer(), Reader()]))
    assert [outcomes[n].error is None for n in range(3)] == [False, True, False]
    assert "without a seat" in outcomes[0].error
    assert values(executor, [Reader()], _seat(1, 2))[0][0] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("executor", WITH_PROCESSES, indirect=True)
def test_a_worker_that_replaces_a_dead_one_sits_where_its_task_says(executor, tmp_path):
    values(executor, [Reader()] * 4, _seat(1, 2))
    found = values(executor, [BombedReader(str(tmp_path / "armed"))], _seat(3, 4))
    end = time.monotonic() + 60
    # Until the new worker answers, whose first seat it is.
    while all(fetched > 1 for _, _, fetched in found) and time.monotonic() < end:
        found += values(executor, [Reader()] * 4, _seat(3, 4))
    assert min(fetched for _, _, fetched in found) == 1
    assert all(donors == [3, 4] for donors, _, _ in found)


@pytest.mark.slow
def test_old_seats_are_let_go_in_this_process():
    alive = []
    with started("serial") as executor:
        for number in range(5):
            seat = _seat(number, number)
            alive.append(weakref.ref(seat))
            values(executor, [Reader()], seat)
        del seat
        gc.collect()
        assert [reference() is not None for reference in alive] == [False] * 4 + [True]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["ray"], indirect=True)
def test_the_object_store_does_not_grow_with_the_number_of_seats(executor):
    """A search that trains on seats new donors in every generation."""
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    def stored():
        state = get_state_from_address(ray.get_runtime_context().gcs_address)
        return get_memory_info_reply(state).store_stats.object_store_bytes_used

    size, used = 2 * 4 * 2_000_000, []
    for number in range(8):
        found = values(executor, [Reader()] * 8, _seat(number, number, 2_000_000))
        assert all(donors == [number, number] for donors, _, _ in found)
        end = time.monotonic() + 10
        # Freed a moment after the last worker has let go.
        while stored() > 1.5 * size and time.monotonic() < end:
            time.sleep(0.05)
        used.append(stored())
    assert max(used) <= 1.5 * size, used
    assert min(used) >= size, "the seat in use is there"
