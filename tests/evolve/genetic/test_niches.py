"""Niches by image: worth is shared, mates complete each other, and journals hold what they need."""

import random

import numpy as np
import pytest
from fake_executor import FakeExecutor
from search_runs import lines_without_timing, run_search

from efn_compose.evolve.genetic.selection.niches import Niches
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.steady import Steady

A, B, C = (0,), (1,), (2,)
LOSSES = {A: 0.5, B: 0.5, C: 0.5}


def _drawn(solved, count=20_000):
    right = {genome: np.array(bits, bool) for genome, bits in solved.items()}
    return Niches().select(LOSSES, count, random.Random(1), right)


def test_an_image_is_shared_by_those_who_get_it_right():
    # Worth: A 1/2 + 1/2, B 1/2 + 1/2, C 1 for the image that only C gets right.
    drawn = _drawn({A: [1, 1, 0], B: [1, 1, 0], C: [0, 0, 1]})[::2]
    for genome in (A, B, C):
        assert drawn.count(genome) / len(drawn) == pytest.approx(1 / 3, abs=0.02)


def test_mates_are_right_where_the_first_is_wrong():
    drawn = _drawn({A: [1, 1, 0, 0], B: [1, 1, 1, 0], C: [0, 0, 1, 1]})
    mates = [other for one, other in zip(drawn[::2], drawn[1::2], strict=True) if one == A]
    # Beyond A, B knows an image that C knows, too; C knows this one and another alone.
    assert mates.count(A) == 0
    assert mates.count(C) / len(mates) == pytest.approx(1.5 / 2, abs=0.02)


@pytest.mark.parametrize("kind", [Genetic, Steady])
@pytest.mark.parametrize("kept", [8, 17, 24])
def test_a_search_with_niches_killed_anywhere_ends_like_one_never_stopped(tmp_path, kind, kept):
    settings = kind(population=6, generations=3, selection="niches")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    first, _ = run_search(whole, FakeExecutor(), kind=settings)
    content = (whole / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    (resumed / "evaluations.jsonl").write_bytes(b"".join(content[:kept]))
    second, _ = run_search(resumed, FakeExecutor(), kind=settings)
    lines = lines_without_timing(whole)
    assert lines_without_timing(resumed) == lines
    assert second.winner == first.winner
    assert all(
        ("solved" in line) == (line["phase"] == "search") for line in lines if "phase" in line
    )
