"""Whole searches on an executor without networks."""

import json

from random_donors import search_donors

from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.options import FinalsOptions, FitnessOptions
from efn_compose.evolve.run import EvolutionRun
from efn_compose.store.journal import Journal

DONORS = search_donors()
KIND = Genetic(population=5, generations=3, elites=2)
FINALS = FinalsOptions(noise_repeats=2, finalists=2, final_seeds=2)


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

    def on_note(self, text):
        """Ignore it."""

    def on_evaluation(self, record, is_replayed):
        """Ignore it."""


def run_search(folder, executor, kind=KIND, granularity="block", donors=DONORS, **parts):
    watcher = QuietWatcher()
    journal = Journal(folder / "evaluations.jsonl")
    run = EvolutionRun(
        donors=donors,
        options=DonorOptions(siblings=0, align="never", absorb="never"),
        data_fingerprint="none",
        kind=kind,
        granularity=granularity,
        finals=FINALS,
        fitness=FitnessOptions(epochs=1.0),
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
    lines = (folder / "evaluations.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("timing", None)
    return records
