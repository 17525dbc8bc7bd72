"""Plans: how long a search lasts on so many workers, and what it keeps on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efn_compose.evolve.journal.planning import (
    evaluations_within,
    generation_size,
    rounds_of_rest,
    rounds_of_search,
    workers_note,
)
from efn_compose.evolve.options import BudgetOptions, SearchOptions


def test_a_halving_search_does_not_get_faster_by_workers_that_idle():
    search = SearchOptions(inheritance="halving", population=8, generations=9)
    # 8, 4, 2, 2 and then one training a generation, six times.
    assert rounds_of_search(search, 2, evaluations=22, workers=1) == 22
    assert rounds_of_search(search, 2, evaluations=22, workers=4) == 2 + 1 + 1 + 1 + 6
    assert rounds_of_search(search, 2, evaluations=22, workers=64) == 10


def test_branches_take_no_more_time_than_there_are_workers_for():
    usual = SearchOptions(inheritance="halving", population=4, generations=20)
    split = SearchOptions(inheritance="halving", population=4, generations=20, branches=4)
    sizes = [[generation_size(s, n) for n in range(21)] for s in (usual, split)]
    assert sum(sizes[1]) > 3 * sum(sizes[0])
    assert rounds_of_search(usual, 1, sum(sizes[0]), 4) == 21
    assert rounds_of_search(split, 1, sum(sizes[1]), 4) == 21


@given(
    st.sampled_from(["baldwin", "halving", "lamarck"]),
    *[st.integers(1, most) for most in (9, 5, 3, 4, 9)],
    st.integers(0, 60),
)
def test_what_fits_into_a_time_is_all_that_fits(
    inheritance, population, donors, lines, branches, workers, rounds
):
    branches = branches if inheritance == "halving" else 1
    search = SearchOptions(
        inheritance=inheritance, population=population, lines=lines, branches=branches
    )
    found = evaluations_within(search, donors, rounds, workers)
    sizes = [generation_size(search, n, donors) for n in range(62)]
    totals = [sum(sizes[: n + 1]) for n in range(62)]
    assert found in totals  # whole generations, the first at least
    generation = totals.index(found)
    if generation:
        assert rounds_of_search(search, donors, found, workers) <= rounds
    assert rounds_of_search(search, donors, totals[generation + 1], workers) > rounds


def test_phases_that_are_awaited_do_not_overlap():
    search = SearchOptions(noise_repeats=3, finalists=4, final_seeds=5)
    # One worker does everything: noise of two donors, finalists, two donors and their average, test.
    assert rounds_of_rest(search, 2, workers=1) == 6 + 20 + 15 + 5 + 2
    # Many: each phase takes as long as one evaluation, the race one per seed.
    assert rounds_of_rest(search, 2, workers=64) == 1 + 5 + 1 + 1 + 1


@pytest.mark.parametrize(
    ("lines", "branches", "workers", "expected"),
    [
        (1, 1, 1, ""),
        (1, 1, 4, "3 of 4 workers will have nothing to do once one training is left; search.b"),
        (
            2,
            1,
            5,
            "3 of 5 workers will have nothing to do once 2 trainings are left; search.branches",
        ),
        (2, 1, 5, "search.branches = 2 would use 2 of them"),
        (1, 1, 4, "search.branches = 4 would use them, in"),
        (1, 1, 2, "search.branches = 2 would use it, in"),
        (1, 4, 4, ""),
        (2, 2, 5, "1 of 5 workers will have nothing to do once 4 trainings are left"),
        (3, 1, 4, "1 of 4 workers will have nothing to do once 3 trainings are left"),
        (1, 8, 4, ""),
    ],
)
def test_idle_workers_are_named_with_what_would_use_them(lines, branches, workers, expected):
    search = SearchOptions(
        inheritance="halving", population=4, generations=9, lines=lines, branches=branches
    )
    note = workers_note(search, 1, workers)
    assert expected in note and bool(expected) == bool(note)
    assert ("would use" in note) == (workers // lines > branches)


def test_branches_that_a_search_is_too_short_for_are_named():
    search = SearchOptions(inheritance="halving", population=16, generations=6, branches=4)
    # 16, 8, 4, 4, 2, 2, 2: the last choice falls after the eighth generation.
    assert "never begins: 1 of 16 starts are left from generation 8 on" in workers_note(
        search, 1, 4
    )
    assert workers_note(search, 1, 4, BudgetOptions(hours=1.0)) == ""
    assert workers_note(SearchOptions(inheritance="halving"), 1, 4) == ""


def test_other_searches_have_no_idle_workers_to_speak_of():
    assert workers_note(SearchOptions(), donor_count=1, workers=4) == ""
