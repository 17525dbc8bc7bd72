"""Plans: how long a search lasts on so many workers, and what it keeps on disk."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efn_compose.evolve.options import SearchOptions
from efn_compose.evolve.planning import (
    evaluations_within,
    generation_size,
    idle_note,
    rounds_of_search,
)


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
def test_what_fits_into_a_time_is_what_an_exact_count_says(
    inheritance, population, donors, lines, branches, workers, rounds
):
    branches = branches if inheritance == "halving" else 1
    search = SearchOptions(
        inheritance=inheritance, population=population, lines=lines, branches=branches
    )
    found = evaluations_within(search, donors, rounds, workers)
    generation, spent, expected = 0, 0, 0
    while True:
        size = generation_size(search, generation, donors)
        spent += math.ceil(size / workers)
        if generation and spent > rounds:
            break
        generation, expected = generation + 1, expected + size
    assert found == expected
    if generation > 1:
        assert rounds_of_search(search, donors, found, workers) <= rounds


@pytest.mark.parametrize(
    ("lines", "branches", "workers", "expected"),
    [
        (1, 1, 1, ""),
        (1, 1, 4, "3 of 4 workers will have nothing to do once one training is left"),
        (2, 1, 5, "search.branches = 2 would"),
        (1, 4, 4, ""),
        (2, 2, 5, ""),  # a fifth would need a split that lines do not share
        (1, 8, 4, ""),
    ],
)
def test_idle_workers_are_named_with_what_would_use_them(lines, branches, workers, expected):
    search = SearchOptions(inheritance="halving", lines=lines, branches=branches)
    note = idle_note(search, 1, workers)
    assert expected in note and bool(expected) == bool(note)


def test_other_searches_have_no_idle_workers_to_speak_of():
    assert idle_note(SearchOptions(), donor_count=1, workers=4) == ""
