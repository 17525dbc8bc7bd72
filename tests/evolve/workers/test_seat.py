"""Equal seats have equal fingerprints, and nothing that decides an answer is left out of them."""

import numpy as np
import pytest
from random_donors import search_donors

from efn_compose.compose import GenomeSpace, genome_space
from efn_compose.compose.space import expanded_groups
from efn_compose.errors import EvaluationError, InvalidGenomeError
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.worker import Worker

A, B = search_donors()
SPACE = GenomeSpace(A.spec, 2, "block")


def _changed(tensors, name, change):
    return {**tensors, name: change(np.array(tensors[name]))}


def _one_bit(values):
    values.view(np.uint32).flat[-1] ^= 1
    return values


def _saliency(scale=1.0):
    size = {group: A.tensors[f"{block}_depthwise_conv/depthwise_kernel"].shape[2]
            for block, group in expanded_groups(A.spec).items()}  # fmt: skip
    return {group: np.linspace(0, scale, n) for group, n in size.items()}


def _unit(*scales):
    return genome_space(A.spec, 2, "unit", tuple(_saliency(scale) for scale in scales))


def test_copies_have_the_same_fingerprint_in_any_order_of_their_tensors():
    copies = [{n: d.tensors[n].copy() for n in reversed(list(d.tensors))} for d in (A, B)]
    space = GenomeSpace(A.spec, 2, "block")
    assert space.loci  # what was looked up before does not count
    assert Seat(space, copies).fingerprint == Seat(SPACE, [A.tensors, B.tensors]).fingerprint
    assert _unit(1.0, 2.0).fingerprint == _unit(1.0, 2.0).fingerprint


def test_whatever_decides_an_answer_changes_the_fingerprint():
    name = "top_bn/moving_variance"
    seats = [
        Seat(SPACE, [A.tensors, B.tensors]),
        Seat(SPACE, [B.tensors, A.tensors]),
        Seat(SPACE, [A.tensors, A.tensors]),
        Seat(SPACE, [A.tensors, _changed(B.tensors, name, _one_bit)]),
        Seat(SPACE, [_changed(A.tensors, name, _one_bit), B.tensors]),
        Seat(SPACE, [A.tensors, _changed(B.tensors, name, lambda v: v.astype(np.float64))]),
        Seat(SPACE, [A.tensors, _changed(B.tensors, name, lambda v: v.reshape(1, -1))]),
        Seat(SPACE, [A.tensors, {n: v for n, v in B.tensors.items() if n != name}]),
        Seat(GenomeSpace(A.spec, 2, "stage"), [A.tensors, B.tensors]),
        Seat(GenomeSpace(A.spec, 2, "block", (0, 0)), [A.tensors, B.tensors]),
        Seat(_unit(1.0, 2.0), [A.tensors, B.tensors]),
        Seat(_unit(1.0, 3.0), [A.tensors, B.tensors]),
    ]
    assert len({seat.fingerprint for seat in seats}) == len(seats)


def test_a_seat_for_every_number_and_no_more():
    with pytest.raises(InvalidGenomeError, match=r"numbers 2 donors\. Received 1"):
        Seat(SPACE, [A.tensors])


def test_a_worker_keeps_one_seat_and_lets_it_go_before_it_fetches_the_next():
    worker, held = Worker(), []

    class Ticket:
        def __init__(self, seat):
            self.seat, self.fingerprint = seat, seat.fingerprint

        def fetch(self):
            held.append(worker.sits_at(first.fingerprint))
            return self.seat

    first, second = Seat(SPACE, [A.tensors, B.tensors]), Seat(SPACE, [B.tensors, A.tensors])
    for seat in (first, first, second, second):
        worker.sit(Ticket(seat))
        assert worker.seat is seat
    assert held == [False, False], "fetched twice in all, sitting nowhere"
    worker.stand_up()
    with pytest.raises(EvaluationError, match="without a seat"):
        _ = worker.seat
