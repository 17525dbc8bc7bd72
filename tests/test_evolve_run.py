"""Whole runs on an executor without networks: phases, order, resuming. No TensorFlow."""

import json

import pytest
from fake_executor import FakeExecutor
from nano_run import nano_donor

from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.options import FitnessOptions, SearchOptions
from efn_compose.evolve.run import EvolutionRun
from efn_compose.store.journal import Journal

DONORS = [nano_donor("a", 1), nano_donor("b", 2)]
OPTIONS = SearchOptions(
    population=5, generations=3, noise_repeats=2, finalists=2, final_seeds=2, elites=2
)


class QuietWatcher:
    """Draws nothing; remembers phases."""

    def __init__(self):
        self.phases, self.generations = [], []

    def set_donors(self, names):
        """Ignore them."""

    def on_phase(self, phase, evaluations):
        self.phases.append((phase, evaluations))

    def on_generation(self, generation, search):
        self.generations.append(generation)

    def on_evaluation(self, record, is_replayed):
        """Ignore it."""


def run_search(folder, executor, options=OPTIONS, **parts):
    watcher = QuietWatcher()
    journal = Journal(folder / "evaluations.jsonl")
    run = EvolutionRun(
        donors=DONORS,
        options=DonorOptions(siblings=0, align="never"),
        data_fingerprint="none",
        search=options,
        fitness=FitnessOptions(),
        seed=1,
        executor=executor,
        journal=journal,
        folder=folder,
        watcher=watcher,
        **parts,
    )
    try:
        return run.run(), watcher
    finally:
        journal.close()


def lines_without_timing(folder):
    records = [json.loads(line) for line in (folder / "evaluations.jsonl").open()]
    for record in records:
        record.pop("timing", None)
    return records


@pytest.mark.parametrize("kept", [0, 3, 9, 20, 33])
def test_a_run_resumed_anywhere_ends_like_one_never_stopped(tmp_path, kept):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    first, _ = run_search(whole, FakeExecutor())
    content = (whole / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    (resumed / "evaluations.jsonl").write_bytes(b"".join(content[:kept]))
    second, _ = run_search(resumed, FakeExecutor(workers=3, order_seed=kept))
    assert lines_without_timing(resumed) == lines_without_timing(whole)
    assert (second.verdict, second.winner) == (first.verdict, first.winner)
