"""Whole searches of every kind make the evaluations that were planned, and never more than allowed.

So do they number the networks that were foretold, and never more.
"""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from fake_executor import FakeExecutor
from random_donors import TINY, search_donors
from search_runs import FINALS, lines_without_timing, run_search

from efn_compose.compose import GenomeSpace
from efn_compose.errors import InvalidGenomeError
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.kinds.lamarck import Lamarck
from efn_compose.evolve.kinds.random import Random
from efn_compose.evolve.kinds.steady import Steady
from efn_compose.evolve.options import BudgetOptions
from efn_compose.evolve.workers.tasks import EvaluationTask

_BASE, _ = search_donors(TINY)
#: Donors of one training, which a search over shares needs.
DONORS = [
    _BASE.replace(
        name=name, tensors={key: np.float32(scale) * t for key, t in _BASE.tensors.items()}
    )
    for name, scale in (("a", 1.0), ("b", 1.1), ("c", 0.9))
]
#: The plan's name of each phase of a journal.
_PLANNED = {
    "rung": "search", "control": "search", "population": "search", "soup": "averages",
}  # fmt: skip

TRAINED = [
    Halving(population=1, generations=0),
    Halving(population=4, generations=0),
    Halving(population=6, generations=1),
    Halving(population=6, generations=9),
    Halving(population=6, generations=9, lines=2),
    Halving(population=4, generations=17, lines=2, branches=2),
    Lamarck(population=4, generations=0),
    Lamarck(population=3, generations=1),
    Lamarck(population=3, generations=4),
    Lamarck(population=2, generations=17),
]
COMPOSED = [
    Genetic(population=6, generations=3, elites=2),
    Genetic(population=6, generations=2, elites=1, control=True),
    Genetic(population=6, generations=2, rungs=("probe",)),
    Steady(population=6, generations=3),
    Random(population=6, generations=3),
    Cma(population=8, generations=3),
    Cma(population=8, generations=2, control=True),
]


class _Trainer(FakeExecutor):
    """Hands back the weights that a training began with."""

    def answer(self, task):
        outcome = super().answer(task)
        if isinstance(task, EvaluationTask) and task.keep_weights:
            value = dataclasses.replace(outcome.value, weights=self.composed(task))
            return dataclasses.replace(outcome, value=value)
        return outcome


def _made(folder, kind, **parts):
    """Return the evaluations of a run by the plan's phases."""
    granularity = "stage_share" if kind.name == "cma" else "block"
    run_search(folder, _Trainer(), kind=kind, granularity=granularity, donors=DONORS, **parts)
    phases = (line["phase"] for line in lines_without_timing(folder) if "event" not in line)
    return Counter(_PLANNED.get(phase, phase) for phase in phases)


def _shape(kind):
    numbers = dataclasses.asdict(kind).items()
    return kind.name + "".join(
        f"-{key}{value}" for key, value in numbers if value not in ("auto", ())
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAINED, ids=_shape)
def test_what_trains_on_makes_exactly_the_evaluations_that_were_planned(tmp_path, kind):
    assert _made(tmp_path, kind) == kind.plan(FINALS, len(DONORS)).phases


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMPOSED, ids=_shape)
def test_what_composes_makes_no_more_than_planned_and_plans_its_finals_exactly(tmp_path, kind):
    made, planned = _made(tmp_path, kind), kind.plan(FINALS, len(DONORS)).phases
    # A link to the generation before may be one of its best donors, and rungs may reject nobody.
    assert made["search"] <= planned["search"]
    made["test"], made["final"] = (
        FINALS.final_seeds,
        made["final"] + made["test"] - FINALS.final_seeds,
    )
    assert {**made, "search": 0} == {**planned, "search": 0}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TRAINED[4], TRAINED[8], *COMPOSED[:2], *COMPOSED[3:]], ids=_shape)
def test_a_run_never_makes_more_evaluations_than_its_limit(tmp_path, kind):
    least = kind.least_evaluations(FINALS, len(DONORS))
    for limit in (least, least + 1, least + 3, least + 9, least + 20):
        folder = tmp_path / str(limit)
        folder.mkdir()
        budget = BudgetOptions(evaluations=limit)
        made = _made(folder, kind, budget=budget).total()
        assert made <= limit
        assert kind.plan(FINALS, len(DONORS), budget=budget).evaluations == limit


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TRAINED[4], TRAINED[8]], ids=_shape)
def test_a_limit_is_used_as_far_as_whole_generations_go(tmp_path, kind):
    totals = [
        dataclasses.replace(kind, generations=n).plan(FINALS, len(DONORS)).evaluations
        for n in range(5)
    ]
    for last, (limit, more) in enumerate(itertools.pairwise(totals[:5])):
        if more <= limit:
            continue
        for budget in {limit, more - 1}:
            folder = tmp_path / f"{last}-{budget}"
            folder.mkdir()
            made = _made(folder, kind, budget=BudgetOptions(evaluations=budget))
            assert made.total() == limit


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [*TRAINED, Halving(population=9, generations=1), Lamarck(7, 2)], ids=_shape
)
def test_a_search_that_trains_on_needs_exactly_the_numbers_that_were_foretold(
    tmp_path, kind, monkeypatch
):
    needed = max(kind.numbered_networks(len(DONORS), BudgetOptions()).values())
    for limit in (needed, needed - 1):
        (tmp_path / str(limit)).mkdir()
        monkeypatch.setattr(GenomeSpace, "most_donors", limit)
        if limit == needed:
            _made(tmp_path / str(limit), kind)
        else:
            with pytest.raises(InvalidGenomeError, match=f"1 to {limit} donors"):
                _made(tmp_path / str(limit), kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [Halving(population=8, lines=2, branches=2), Halving(population=8), Lamarck(population=2)],
    ids=_shape,
)
def test_a_limited_search_needs_the_numbers_that_were_foretold_and_no_more(tmp_path, kind):
    numbers = []

    class Counting(_Trainer):
        def run(self, tasks, seat=None):
            numbers.append(seat.space.donor_count)
            return super().run(tasks, seat)

    least = kind.least_evaluations(FINALS, len(DONORS))
    for more in (0, 30, 90):
        (tmp_path / str(more)).mkdir()
        budget = BudgetOptions(evaluations=least + more)
        run_search(tmp_path / str(more), Counting(), kind=kind, donors=DONORS, budget=budget)
    assert max(numbers) == max(kind.numbered_networks(len(DONORS), budget).values())
