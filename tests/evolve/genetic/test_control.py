"""The control: as many random genomes as a search has newcomers, which the search never hears of."""

import dataclasses

import pytest
from fake_executor import FakeExecutor
from fine_tunings import BASE, DONORS
from search_runs import FINALS, lines_without_timing, run_search

from efn_compose.evolve.genetic.control import PHASE
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.verdict.verdict import COMPOSED, CONTROL, Arm, give_verdict

KINDS = [
    (Genetic(population=6, generations=2, control=True), "block"),
    (Cma(population=8, generations=2, control=True), "stage_share"),
    (Genetic(population=6, generations=2, control=True), "network_share"),
]
each_kind = pytest.mark.parametrize(
    ("kind", "granularity"), KINDS, ids=["genetic", "cma", "shares"]
)
RELATIVES = [BASE, *DONORS[:2]]


def _run(folder, kind, granularity, executor=None):
    folder.mkdir(exist_ok=True)
    result, _ = run_search(
        folder, executor or FakeExecutor(), kind=kind, granularity=granularity, donors=RELATIVES
    )
    return result, lines_without_timing(folder)


@each_kind
def test_the_search_is_the_same_and_the_control_as_large(tmp_path, kind, granularity):
    result, lines = _run(tmp_path / "with", kind, granularity)
    alone = dataclasses.replace(kind, control=False)
    _, others = _run(tmp_path / "without", alone, granularity)
    searched = [[r for r in found if r.get("phase") == "search"] for found in (lines, others)]
    for one, other in zip(*searched, strict=True):
        assert {**one, "index": 0} == {**other, "index": 0}
    pure = {tuple(result.space.pure(n)) for n in range(3)}
    tried = {tuple(r["recipe"]["values"]) for r in searched[0]} - pure
    drawn = [tuple(r["recipe"]["values"]) for r in lines if r.get("phase") == PHASE]
    assert len(set(drawn)) == len(drawn) == len(tried)
    seeds = {(r["generation"], r["seed"]) for r in searched[0]}
    assert {(r["generation"], r["seed"]) for r in lines if r.get("phase") == PHASE} == seeds
    assert CONTROL in result.arms and "as many random compositions" in result.verdict.words
    phases = kind.plan(FINALS, 3).phases
    assert len(lines) <= sum(phases.values())


@pytest.mark.slow
@each_kind
def test_a_run_with_a_control_killed_anywhere_ends_like_one_never_stopped(
    tmp_path, kind, granularity
):
    first, lines = _run(tmp_path / "whole", kind, granularity)
    content = (tmp_path / "whole" / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (12, 19, 26, 40):
        folder = tmp_path / f"{kept}"
        folder.mkdir()
        (folder / "evaluations.jsonl").write_bytes(b"".join(content[:kept]))
        workers = FakeExecutor(workers=3, order_seed=kept)
        second, again = _run(folder, kind, granularity, workers)
        assert again == lines
        assert (second.verdict, second.winner) == (first.verdict, first.winner)


def test_the_verdict_states_the_difference_and_writes_whichever_is_better():
    donor = Arm("a", (1.0, 1.1, 0.9), (1.0, 1.1, 0.9))
    found = Arm(COMPOSED, (0.8, 0.9, 0.7), (0.9, 1.0, 0.8))
    drawn = Arm(CONTROL, (0.7, 0.8, 0.6), (0.7, 0.8, 0.6))
    verdict = give_verdict(drawn, [donor], [found, drawn])
    assert verdict.winner == CONTROL
    assert (
        "loss +0.1000 ± 0.0000 on search-validation and +0.2000 ± 0.0000 on test" in verdict.words
    )
    assert verdict.words.startswith("The best random composition beat the best donor, a, on")
    assert give_verdict(found, [donor]).winner == COMPOSED
