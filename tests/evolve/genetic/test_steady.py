"""The steady-state search: nobody waits, nothing is paid twice, the journal replays it."""

import dataclasses
import json
import random
import statistics

import pytest
from search_runs import QuietWatcher, lines_without_timing, run_search
from simulated_executor import SimulatedExecutor

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.errors import ResumeMismatchError
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.genetic.steady_search import SteadySearch
from efn_compose.evolve.journal.budget import Budget
from efn_compose.evolve.journal.ledger import Ledger
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.kind import Workplace
from efn_compose.evolve.kinds.steady import Steady
from efn_compose.evolve.options import BudgetOptions
from efn_compose.evolve.workers.seat import Seat
from efn_compose.store.journal import Journal

STEADY = Steady(population=5, generations=3, elites=2)
SPACE = GenomeSpace(arch_spec("lite0"), 3, "block")


def _searched(folder):
    return [line for line in lines_without_timing(folder) if line.get("phase") == "search"]


@pytest.mark.parametrize("workers", [1, 4, 50])
def test_as_many_evaluations_as_generations_would_make(tmp_path, workers):
    run_search(tmp_path, SimulatedExecutor(workers), STEADY)
    lines = _searched(tmp_path)
    assert len(lines) == 5 + 3 * 5
    assert sorted(line["ask"] for line in lines) == list(range(20))
    asked = [line["asked"] for line in lines]
    # Everything had been asked before it was answered, and workers were kept busy.
    assert all(line["ask"] < line["asked"] for line in lines)
    assert asked == sorted(asked)
    assert asked[0] == min(workers, 20)


def test_children_are_new_and_links_share_their_waves_seed(tmp_path):
    run_search(tmp_path, SimulatedExecutor(4), dataclasses.replace(STEADY, generations=12))
    lines = sorted(_searched(tmp_path), key=lambda line: line["ask"])
    seeds = {}
    for line in lines:
        seeds.setdefault(line["generation"], set()).add(line["seed"])
    assert all(len(found) == 1 for found in seeds.values())
    assert len({next(iter(found)) for found in seeds.values()}) == len(seeds) > 8
    seen = set()
    for wave in seeds:
        genomes = [tuple(x["recipe"]["values"]) for x in lines if x["generation"] == wave]
        assert len(set(genomes)) == len(genomes)
        assert len(seen & set(genomes)) == 0 if wave == 0 else 1 <= len(seen & set(genomes)) <= 3
        seen |= set(genomes)


@pytest.mark.parametrize("kept", range(4, 34, 3))
def test_a_resumed_run_follows_the_journal_then_goes_on(tmp_path, kept):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    run_search(whole, SimulatedExecutor(4, seed=1), STEADY)
    content = (whole / "evaluations.jsonl").read_bytes().splitlines(keepends=True)[:kept]
    (resumed / "evaluations.jsonl").write_bytes(b"".join(content))
    # Another machine, other times, another number of workers.
    first, _ = run_search(resumed, SimulatedExecutor(7, seed=2), STEADY)
    after = (resumed / "evaluations.jsonl").read_bytes()
    assert after.splitlines(keepends=True)[:kept] == content
    lines = _searched(resumed)
    assert sorted(line["ask"] for line in lines) == list(range(20))
    # The finished journal replays to the same result, bit for bit, and nothing is run again.
    again = SimulatedExecutor(1, seed=3)
    second, _ = run_search(resumed, again, STEADY)
    assert (resumed / "evaluations.jsonl").read_bytes() == after
    assert (second.verdict, second.winner) == (first.verdict, first.winner)
    kinds = [type(task).__name__ for task in again.asked]
    assert kinds.count("FinishTask") == 1, "the winner is composed again"
    assert "EvaluationTask" not in kinds, "the journal answers"


def test_with_one_worker_a_resumed_run_equals_an_undisturbed_one(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    run_search(whole, SimulatedExecutor(1), STEADY)
    content = (whole / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    (resumed / "evaluations.jsonl").write_bytes(b"".join(content[:13]))
    run_search(resumed, SimulatedExecutor(1), STEADY)
    assert lines_without_timing(resumed) == lines_without_timing(whole)


def test_a_changed_order_of_answers_is_noticed(tmp_path):
    run_search(tmp_path, SimulatedExecutor(4), STEADY)
    path = tmp_path / "evaluations.jsonl"
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if '"asked":9' in line)
    record = json.loads(lines[number])
    record["ask"] = 0
    lines[number] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResumeMismatchError):
        run_search(tmp_path, SimulatedExecutor(4), STEADY)


def test_a_budget_of_evaluations_counts_what_is_under_way(tmp_path):
    budget = BudgetOptions(evaluations=60)
    result, _ = run_search(tmp_path, SimulatedExecutor(8), STEADY, budget=budget)
    assert result.evaluations == 60


@pytest.mark.slow
@pytest.mark.parametrize("budget", [{"until_no_better": 1}, {"hours": 1e-9}])
@pytest.mark.parametrize("kind", [Steady, Genetic])
def test_the_first_generation_is_searched_however_small_the_budget(tmp_path, kind, budget):
    budget = BudgetOptions(**budget)
    result, _ = run_search(tmp_path, SimulatedExecutor(1), kind=kind(population=6), budget=budget)
    assert len(_searched(tmp_path)) >= 6
    assert "composed" in result.arms


def test_workers_wait_less_than_for_generations(tmp_path):
    """Idle share of 32 workers with heavy-tailed times, from the first ask to the last answer.

    The median over seeds: where the longest task of all is the last one, nothing helps.
    """
    idle = {"genetic": [], "steady": []}
    for seed in range(5):
        for kind in (Genetic(population=64), Steady(population=64)):
            executor = SimulatedExecutor(32, seed=seed)
            loop = loop_on(tmp_path / f"{kind.name}{seed}.jsonl", executor, kind)
            kind.search(loop, Workplace((), executor, tmp_path), finalists=1)
            idle[kind.name].append(1 - executor.busy / (executor.now * executor.workers))
    assert statistics.median(idle["steady"]) < 0.5 * statistics.median(idle["genetic"])


def loop_on(path, executor, kind, budget=None):
    """Return a search loop over a large space, with everything it needs."""
    watcher = QuietWatcher()
    ledger = Ledger(Journal(path), executor, watcher)
    limits = Budget(budget or BudgetOptions(), ledger.clock, workers=executor.workers)
    return SearchLoop(
        seat=Seat(SPACE, [{}] * SPACE.donor_count),
        donor_names=("a", "b", "c"),
        generations=kind.generations,
        size=lambda generation: kind.size(generation, 3),
        ending=lambda generation: 0,
        epochs=1.0,
        seed=1,
        noise=(0.0, 0),
        ledger=ledger,
        budget=limits,
        watcher=watcher,
    )


@pytest.mark.slow
def test_luck_of_waves_neither_flatters_nor_drifts():
    """All genomes are equal; waves have luck, links are chosen for good scores."""
    beliefs = []
    for seed in range(20):
        generator = random.Random(seed)
        search = SteadySearch(SPACE, Steady(population=16), seed, noise=(0.01, 4))
        luck, pending = {}, []
        for number in range(176):
            _, wave = search.ask_one()
            luck.setdefault(wave, generator.gauss(0, 0.05))
            pending.append((number, wave))
            if len(pending) == 6:
                told = pending.pop(generator.randrange(6))
                search.tell_one(told[0], 0.5 + luck[told[1]] + generator.gauss(0, 0.1))
        beliefs.append(search.table.estimates()[search.best()].shrunk)
    assert statistics.fmean(beliefs) == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_it_finds_what_generations_find():
    """A separable landscape with luck; at equal evaluations both get equally far."""
    reached = {}
    for seed in range(6):
        for workers in (1, 12):
            generator = random.Random(100 + seed)
            search = SteadySearch(SPACE, Steady(population=16), seed)
            pending = []
            for number in range(496):
                genome, _ = search.ask_one()
                pending.append((number, genome))
                if len(pending) == workers:
                    told = pending.pop(generator.randrange(workers))
                    search.tell_one(told[0], _true_loss(told[1]))
            reached.setdefault(workers, []).append(_true_loss(search.best()))
    best_random = statistics.fmean(
        min(_true_loss(tuple(random.Random(s).choices(range(3), k=len(SPACE.loci))))
            for s in range(496 * k, 496 * (k + 1)))
        for k in range(6)
    )  # fmt: skip
    assert all(statistics.fmean(found) < best_random for found in reached.values())


def _true_loss(genome):
    return sum(0.01 * ((gene - locus) % 3) for locus, gene in enumerate(genome))
