"""Plans: how long a search lasts on so many workers, and what it keeps on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.kinds.table import KINDS
from efn_compose.evolve.options import BudgetOptions, FinalsOptions

ANY = BudgetOptions()


def test_a_halving_search_does_not_get_faster_by_workers_that_idle():
    kind = Halving(population=8, generations=9)
    # 8, 4, 2, 2 and then one training a generation, six times.
    assert [kind.plan(FinalsOptions(), 2, workers).rounds for workers in (1, 4, 64)] == [
        22,
        2 + 1 + 1 + 1 + 6,
        10,
    ]


def test_branches_take_no_more_time_than_there_are_workers_for():
    usual, split = (Halving(population=4, generations=20, branches=n) for n in (1, 4))
    plans = [kind.plan(FinalsOptions(), 1, workers=4) for kind in (usual, split)]
    assert plans[1].phases["search"] > 3 * plans[0].phases["search"]
    assert [plan.rounds for plan in plans] == [21, 21]


@given(
    st.sampled_from(["genetic", "random", "halving", "lamarck"]),
    *[st.integers(1, most) for most in (9, 5, 3, 4, 9)],
    st.integers(0, 60),
)
def test_what_fits_into_a_time_is_all_that_fits(
    name, population, donors, lines, branches, workers, rounds
):
    shape = {"lines": lines, "branches": branches} if name == "halving" else {}
    kind = KINDS[name](population=population, **shape)
    found = kind.evaluations_within(donors, rounds, workers)
    totals = [sum(kind.size(n, donors) for n in range(m + 1)) for m in range(62)]
    assert found in totals  # whole generations, the first at least
    generation = totals.index(found)
    if generation:
        assert kind.rounds(donors, found, workers) <= rounds
    assert kind.rounds(donors, totals[generation + 1], workers) > rounds


def test_phases_that_are_awaited_do_not_overlap():
    finals = FinalsOptions(noise_repeats=3, finalists=4, final_seeds=5)
    # One worker does everything: noise of two donors, finalists and the average, two donors and the
    # average, test.
    assert Genetic().plan(finals, 2, workers=1).rounds_of_rest == 6 + 25 + 15 + 5 + 2
    # Many: each phase takes as long as one evaluation, the race one per seed.
    assert Genetic().plan(finals, 2, workers=64).rounds_of_rest == 1 + 5 + 1 + 1 + 1


@pytest.mark.parametrize(
    ("lines", "branches", "workers", "expected"),
    [
        (1, 1, 1, ""),
        (1, 1, 4, "3 of 4 workers will have nothing to do once one training is left; halving.b"),
        (2, 1, 5, "3 of 5 workers will have nothing to do once 2 trainings are left; halving.b"),
        (2, 1, 5, "halving.branches = 2 would use 2 of them"),
        (1, 1, 4, "halving.branches = 4 would use them, in"),
        (1, 1, 2, "halving.branches = 2 would use it, in"),
        (1, 4, 4, ""),
        (2, 2, 5, "1 of 5 workers will have nothing to do once 4 trainings are left"),
        (3, 1, 4, "1 of 4 workers will have nothing to do once 3 trainings are left"),
        (1, 8, 4, ""),
    ],
)
def test_idle_workers_are_named_with_what_would_use_them(lines, branches, workers, expected):
    kind = Halving(population=4, generations=9, lines=lines, branches=branches)
    note = kind.plan(FinalsOptions(), 1, workers).note
    assert expected in note and bool(expected) == bool(note)
    assert ("would use" in note) == (workers // lines > branches)


def test_branches_that_a_search_is_too_short_for_are_named():
    kind = Halving(population=16, generations=6, branches=4)
    # 16, 8, 4, 4, 2, 2, 2: the last choice falls after the eighth generation.
    expected = "never begins: 1 of 16 starts are left from generation 8 on"
    assert expected in kind.idle_note(1, 4, ANY)
    assert kind.idle_note(1, 4, BudgetOptions(hours=1.0)) == ""
    assert Halving().idle_note(1, 4, ANY) == ""


def test_other_searches_have_no_idle_workers_to_speak_of():
    assert Genetic().plan(FinalsOptions(), donor_count=1, workers=4).note == ""


def test_finals_have_room_for_what_each_kind_must_beat():
    finals = FinalsOptions(finalists=3, final_seeds=2)
    # Three finalists, two donors, and: their average, twice; the latest state; plain training and its
    # average.
    counts = {name: kind().plan(finals, 2).phases["final"] for name, kind in KINDS.items()}
    composing = {"genetic": 14, "steady": 14, "random": 14, "cma": 14}
    assert counts == {**composing, "halving": 12, "lamarck": 14}
    # Three random finalists more, and the test of the best of them.
    assert Genetic(control=True).plan(finals, 2).phases["final"] == 14 + 6 + 2
