"""Cheap rungs reject only what they can tell, and racing drops only what has lost."""

import math
import random

import numpy as np
import pytest
from fake_executor import FakeExecutor
from scipy.stats import t as student
from search_runs import QuietWatcher

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.generational import search_generations
from efn_compose.evolve.genetic.rungs import PHASE, correlation_of
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.budget import Budget
from efn_compose.evolve.journal.ledger import Ledger
from efn_compose.evolve.journal.run_clock import RunClock
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.random import Random
from efn_compose.evolve.options import BudgetOptions, FinalsOptions
from efn_compose.evolve.verdict.racing import still_racing
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask, Outcome
from efn_compose.store.journal import Journal
from efn_compose.train.resident.probe import probe_scores

SPACE = GenomeSpace(arch_spec("lite0"), 3, "block")


class _Landscape(FakeExecutor):
    """Full evaluations score the sum of genes; the probe as much of that as it is told to know."""

    def __init__(self, knows: bool) -> None:
        super().__init__()
        self._knows = knows
        self.sign = 1

    def answer(self, task: EvaluationTask) -> Outcome:
        self.asked.append(task)
        truth = 0.9 + self.sign * 0.01 * sum(task.recipe.values)
        if task.probe and not self._knows:
            truth = random.Random(f"{task.recipe.values}").random()
        part = {"loss": truth, "accuracy": 0.5}
        return Outcome(Evaluation({"validation": part}, 1.0), None, 0, 0.01)


class _Watcher(QuietWatcher):
    def __init__(self) -> None:
        super().__init__()
        self.notes = []

    def on_note(self, text):
        self.notes.append(text)


def _search(path, executor, kind=Genetic):
    options = kind(population=12, generations=3, rungs=("probe",))
    watcher, clock = _Watcher(), RunClock()
    journal = Journal(path)
    ledger = Ledger(journal, executor, watcher, clock=clock)
    loop = SearchLoop(
        seat=Seat(SPACE, [{}] * SPACE.donor_count),
        donor_names=("a", "b", "c"),
        generations=options.generations,
        size=lambda generation: options.size(generation, 3),
        ending=lambda generation: 0,
        epochs=1.0,
        seed=1,
        noise=(0.0, 0),
        ledger=ledger,
        budget=Budget(BudgetOptions(), clock, 1),
        watcher=watcher,
    )
    search = search_generations(loop, options, options.rungs)
    records = list(journal)
    journal.close()
    return search, records, watcher, options


def test_a_rung_that_knows_rejects_the_worse_half(tmp_path):
    _, records, watcher, options = _search(tmp_path / "j.jsonl", _Landscape(True))
    rejected, kept = [], []
    for generation in range(1, options.generations + 1):
        looked = [r for r in records if r["phase"] == PHASE and r["generation"] == generation]
        full = {
            tuple(r["recipe"]["values"])
            for r in records
            if r["phase"] == "search" and r["generation"] == generation
        }
        assert looked, "a trusted rung is used in every later generation"
        for record in looked:
            (kept if tuple(record["recipe"]["values"]) in full else rejected).append(
                (generation, record["scores"]["validation"]["loss"])
            )
        worst_kept = max(loss for g, loss in kept if g == generation)
        assert worst_kept <= min(loss for g, loss in rejected if g == generation)
    assert len(rejected) == pytest.approx(len(kept), abs=options.generations)
    assert "rejects from now on" in watcher.notes[0]
    assert len(records) <= options.plan(FinalsOptions(), donor_count=3).phases["search"]


def test_a_rung_that_knows_nothing_is_not_used_again(tmp_path):
    _, records, watcher, _ = _search(tmp_path / "j.jsonl", _Landscape(False))
    assert {r["generation"] for r in records if r["phase"] == PHASE} == {0}
    assert "is not used" in watcher.notes[0]


def test_a_search_with_rungs_replays_from_its_journal(tmp_path):
    path = tmp_path / "j.jsonl"
    first, records, _, _ = _search(path, _Landscape(True))
    executor = _Landscape(True)
    again, replayed, _, _ = _search(path, executor)
    assert not executor.asked
    assert replayed == records
    assert again.generation == first.generation
    assert again.best() == first.best()


def test_random_breeding_draws_without_looking_at_scores(tmp_path):
    # What is tried, and in which order, does not depend on scores; how much of it fits may.
    tried = []
    for number, sign in enumerate((1, -1)):
        executor = _Landscape(True)
        executor.sign = sign
        _, records, _, _ = _search(tmp_path / f"{number}.jsonl", executor, Random)
        tried.append([r["recipe"]["values"] for r in records if r["phase"] == PHASE])
    common = min(map(len, tried))
    assert common > 40
    assert tried[0][:common] == tried[1][:common]


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(20, 2))
    ranks = pairs.argsort(axis=0).argsort(axis=0)
    squares = ((ranks[:, 0] - ranks[:, 1]) ** 2).sum()
    expected = 1 - 6 * squares / (20 * (20**2 - 1))
    assert correlation_of(pairs.tolist()) == pytest.approx(expected)
    assert correlation_of([(1.0, 2.0)] * 10) is None
    assert correlation_of([(1.0, 2.0), (2.0, 3.0)]) is None


def test_racing_drops_the_clearly_worse_and_keeps_the_leader():
    leader = [1.0, 1.2, 0.9, 1.1]
    worse = [loss + 0.3 + 0.01 * n for n, loss in enumerate(leader)]
    close = [1.02, 1.18, 0.93, 1.08]
    assert still_racing({"worse": worse, "leader": leader, "close": close}) == ["leader", "close"]
    assert still_racing({"worse": worse[:2], "leader": leader[:2]}) == ["worse", "leader"]
    assert still_racing({}) == []


def test_racing_drops_an_equal_contestant_about_as_often_as_stated():
    # Two contestants alike: at three seeds the one behind is dropped where a paired t exceeds its
    # 95 % point, on either side: twice 5 %.
    rng, dropped, trials = np.random.default_rng(1), 0, 2000
    for _ in range(trials):
        both = rng.normal(size=(2, 3))
        dropped += len(still_racing({"a": both[0].tolist(), "b": both[1].tolist()})) == 1
    assert dropped / trials == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / trials))
    assert student.ppf(0.95, 2) == pytest.approx(2.92, abs=0.01)


def test_probe_tells_separable_features_from_noise():
    rng = np.random.default_rng(2)
    labels = np.arange(120) % 3
    good = np.eye(3)[labels] + 0.1 * rng.normal(size=(120, 3))
    noise = rng.normal(size=(120, 3))
    found = probe_scores(good[:90], labels[:90], good[90:], labels[90:], 3)
    nothing = probe_scores(noise[:90], labels[:90], noise[90:], labels[90:], 3)
    assert found["accuracy"] == found["knn"] == 1.0
    assert found["loss"] == 0.0
    # Chance is a third; 30 images scatter by 0.09.
    assert abs(nothing["accuracy"] - 1 / 3) < 0.3
    assert nothing["loss"] > 0.4
