"""Halving: the better half trains on, and what is written is an average along one line."""

import json

import numpy as np
import pytest
from fake_executor import FakeExecutor
from random_donors import TINY, search_donors
from search_runs import QuietWatcher

from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.lines.population import PopulationFolder
from efn_compose.evolve.options import BudgetOptions, FinalsOptions, FitnessOptions
from efn_compose.evolve.run import EvolutionRun
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask, Outcome
from efn_compose.store.journal import Journal

FINALS = FinalsOptions(noise_repeats=2, final_seeds=2)
KERNEL = "stem_conv/kernel"


class _Trainer(FakeExecutor):
    """Training halves the distance of every weight to a goal, plus noise of the seed's own."""

    def answer(self, task):
        self.asked.append(task)
        tensors = self.composed(task)
        if not isinstance(task, EvaluationTask):
            return Outcome(tensors, None, 0, 0.01)
        noise = np.random.default_rng(task.seed)
        if task.epochs:
            tensors[KERNEL] = (tensors[KERNEL] + 1) / 2
            tensors[KERNEL] = tensors[KERNEL] + noise.normal(0, 0.2, tensors[KERNEL].shape)
            tensors[KERNEL] = tensors[KERNEL].astype(np.float32)
        loss = float(np.square(tensors[KERNEL] - 1).mean())
        scores = {part: {"loss": loss, "accuracy": 0.5} for part in task.parts}
        weights = tensors if task.keep_weights else None
        found = Evaluation(scores, 1.0, weights=weights)
        return Outcome(found, None, 0, 0.01)


class _Remembering(_Trainer):
    """Keeps of every training what it started from, what it came to, and its loss."""

    def __init__(self):
        super().__init__()
        self.starts, self.states, self.losses = [], [], []

    def answer(self, task):
        outcome = super().answer(task)
        if getattr(task, "keep_weights", False):
            self.starts.append(self.composed(task)[KERNEL])
            self.states.append(outcome.value.weights[KERNEL])
            self.losses.append(outcome.value.loss)
        return outcome


def _donors():
    """Donors of which each has a source of its own."""
    return [donor.replace(provenance={"source": donor.name}) for donor in search_donors(TINY)]


def _run(folder, executor=None, **options):
    kind = Halving(**{"population": 6, "generations": 9, **options})
    journal = Journal(folder / "evaluations.jsonl")
    run = EvolutionRun(
        donors=_donors(),
        options=DonorOptions(siblings=0, align="never", absorb="never"),
        data_fingerprint="none",
        kind=kind,
        granularity="block",
        finals=FINALS,
        fitness=FitnessOptions(epochs=1.0),
        seed=1,
        executor=executor or _Trainer(),
        journal=journal,
        folder=folder,
        watcher=QuietWatcher(),
    )
    result = run.run()
    records = list(journal)
    journal.close()
    for record in records:
        record.pop("timing")
    return result, records


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """One run of six donors and compositions: what it found, its records, what was trained."""
    executor = _Remembering()
    result, records = _run(tmp_path_factory.mktemp("plain"), executor)
    return result, records, executor


def _generation(records, number):
    return [r for r in records if r["phase"] == "population" and r["generation"] == number]


@pytest.mark.slow
def test_half_of_the_lines_end_whenever_the_trainings_have_doubled(plain):
    _, records, _ = plain
    assert [len(_generation(records, n)) for n in range(10)] == [6, 3, 2, 2, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("first", [1, 2, 5, 16])
@pytest.mark.parametrize("lines", [1, 3])
def test_the_number_of_lines_is_what_halving_at_every_power_of_two_gives(first, lines):
    options, expected, left = Halving(lines=lines), [], first
    for depth in range(1, 20):
        expected.append(left)
        if depth & (depth - 1) == 0:  # the trainings have become 1, 2, 4, 8 … epochs long
            left = min(left, max(lines, -(-left // 2)))
    assert [options.lines_left(first, n) for n in range(19)] == expected


@pytest.mark.slow
def test_the_best_lines_go_on_and_the_first_generation_holds_every_donor(plain):
    _, records, _ = plain
    genomes = [tuple(r["recipe"]["values"]) for r in _generation(records, 0)]
    assert {(0,) * len(genomes[0]), (1,) * len(genomes[0])} <= set(genomes)
    for number in range(1, 10):
        before = [r["scores"]["validation"]["loss"] for r in _generation(records, number - 1)]
        parents = [r["recipe"]["values"][0] for r in _generation(records, number)]
        ranked = sorted(range(len(before)), key=lambda n: before[n])
        assert parents == ranked[: len(parents)]


@pytest.mark.slow
def test_what_is_put_up_is_the_mean_of_a_lines_states(plain):
    result, records, executor = plain
    by_loss = dict(zip(executor.losses, executor.states, strict=True))
    # The last line's states are the best of their generation from the fourth on.
    line = [_generation(records, n)[0]["scores"]["validation"]["loss"] for n in range(9, 1, -1)]
    states = [by_loss[loss] for loss in line]
    expected = {depth: np.mean(states[:depth], axis=0) for depth in (2, 4, 8)}
    scored = {r["arm"]: r["scores"]["validation"]["loss"] for r in records if r["phase"] == "soup"}
    for depth, mean in expected.items():
        error = float(np.square(mean - 1).mean())
        assert scored[f"line0_average_of_{depth}"] == pytest.approx(error, rel=1e-4)
    assert result.verdict.winner in result.arms
    assert {"a", "b", "latest_state"} <= set(result.arms)


@pytest.mark.slow
def test_branches_set_out_from_the_mean_of_all_in_orders_of_their_own(tmp_path):
    executor = _Remembering()
    result, records = _run(tmp_path, executor, population=4, generations=9, branches=3)
    sizes = [len(_generation(records, n)) for n in range(10)]
    assert sizes == [4, 2, 3, 3, 3, 3, 3, 3, 3, 3]  # the last line is left for the third
    trainings = np.split(np.arange(len(executor.starts)), np.cumsum(sizes)[:-1])
    for number in range(3, 10):
        before, now = trainings[number - 1], trainings[number]
        mean = np.mean([executor.states[n] for n in before], axis=0)
        for n in now:
            np.testing.assert_allclose(executor.starts[n], mean, rtol=1e-6)
        assert len({r["seed"] for r in _generation(records, number)}) == 3
    # What is put up are means of the line's states, which are means of its branches.
    states = [np.mean([executor.states[n] for n in t], axis=0) for t in trainings[:1:-1]]
    scored = {r["arm"]: r["scores"]["validation"]["loss"] for r in records if r["phase"] == "soup"}
    for depth in (2, 4, 8):
        error = float(np.square(np.mean(states[:depth], axis=0) - 1).mean())
        assert scored[f"line0_average_of_{depth}"] == pytest.approx(error, rel=1e-4)
    latest = next(d for d in result.donors if d.name == "latest_state")
    np.testing.assert_allclose(latest.tensors[KERNEL], states[0], rtol=1e-6)
    assert result.start is not None


@pytest.mark.slow
def test_branches_of_one_number_see_one_order_whatever_their_line(tmp_path):
    _, records = _run(tmp_path, population=2, lines=2, generations=2, branches=2)
    for number in range(3):
        seeds = [r["seed"] for r in _generation(records, number)]
        assert seeds[:2] == seeds[2:] and len(set(seeds)) == 2


@pytest.mark.slow
def test_a_branch_that_fails_is_left_out_of_the_mean(tmp_path):
    class Failing(_Remembering):
        def answer(self, task):
            if len(self.starts) == 4 and getattr(task, "keep_weights", False):
                self.starts.append(None), self.states.append(None), self.losses.append(None)
                return Outcome(None, "no memory left", 0, 0.01)
            return super().answer(task)

    executor = Failing()
    _, records = _run(tmp_path, executor, population=2, generations=2, branches=3)
    # Two starts, then twice three branches of which the last but one of the first three fails.
    assert [r["error"] is not None for r in _generation(records, 1)] == [False, False, True]
    mean = np.mean([executor.states[2], executor.states[3]], axis=0)
    for start in executor.starts[5:]:
        np.testing.assert_allclose(start, mean, rtol=1e-6)
    assert len(executor.starts) == 8


@pytest.mark.slow
def test_what_is_written_names_the_composition_its_line_began_as(plain):
    result, records, _ = plain
    number = 0  # the best line is trained first from the fifth generation on
    for generation in range(9, 0, -1):
        number = _generation(records, generation)[number]["recipe"]["values"][0]
    start = _generation(records, 0)[number]["recipe"]["values"]
    hosts = result.start.segments
    assert list(hosts.values()) == start
    says = any(flag.startswith("The written weights began as") for flag in result.flags)
    assert says == (len(set(start)) > 1)
    donors = _donors()
    host = donors[max(sorted(set(start)), key=start.count)]
    for number in result.winner.donors_used(result.space):
        origin = result.donors[number].provenance
        assert origin["began_as"] == [donors[gene].name for gene in sorted(set(start))]
        assert origin["source"] == host.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    [
        {"generations": 20},
        {"generations": 20, "branches": 3},
        {"lines": 2, "branches": 2},
        {"population": 2, "lines": 2, "branches": 2},
    ],
)
def test_evaluations_and_the_networks_on_disk_are_as_planned(tmp_path, shape, monkeypatch):
    counts, save = [], PopulationFolder.save

    def counting(*arguments):
        save(*arguments)
        counts.append(len(list((tmp_path / "population").glob("*.h5"))))

    monkeypatch.setattr(PopulationFolder, "save", counting)
    _, records = _run(tmp_path, **shape)
    kind = Halving(**{"population": 6, "generations": 9, **shape})
    plan = kind.plan(FINALS, donor_count=2).phases
    assert sum(r["phase"] == "population" for r in records) == plan["search"]
    assert sum(r["phase"] == "final" for r in records) <= plan["final"]
    assert max(counts) == kind.kept_networks(2, BudgetOptions())


def _trainings(executor):
    return sum(isinstance(t, EvaluationTask) and t.keep_weights for t in executor.asked)


class _Failing(_Trainer):
    """Fails one training, counted from 0."""

    def __init__(self, number):
        super().__init__()
        self._number = number

    def answer(self, task):
        if getattr(task, "keep_weights", False) and _trainings(self) == self._number:
            self.asked.append(task)
            return Outcome(None, "no memory left", 0, 0.01)
        return super().answer(task)


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, 9, 14])
def test_a_line_that_lost_a_branch_is_not_trained_again_at_the_end(tmp_path, number):
    executor = _Failing(number)
    _, records = _run(tmp_path, executor, population=2, generations=8, branches=2)
    assert _trainings(executor) == sum(r["phase"] == "population" for r in records) == 18


class _Killed(BaseException):
    """The end of a process."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generation0005_mean00", "generation0005_member01"])
def test_a_process_that_ends_between_two_files_costs_two_generations_at_most(
    tmp_path, name, monkeypatch
):
    save = PopulationFolder.save

    def killing(self, file, *arguments):
        if file == name:
            raise _Killed
        save(self, file, *arguments)

    shape = {"population": 2, "generations": 8, "branches": 2}
    with monkeypatch.context() as context, pytest.raises(_Killed):
        context.setattr(PopulationFolder, "save", killing)
        _run(tmp_path, **shape)
    executor = _Trainer()
    _, records = _run(tmp_path, executor, **shape)
    left = sum(r["phase"] == "population" and r["generation"] > 5 for r in records)
    assert _trainings(executor) <= left + 2 * 2
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    assert _run(undisturbed, **shape)[1] == records


@pytest.mark.slow
def test_no_training_is_made_twice_after_a_process_that_ends_within_a_generation(
    tmp_path,
):
    class Dying(_Trainer):
        def answer(self, task):
            if getattr(task, "keep_weights", False) and _trainings(self) == 5:
                raise _Killed
            return super().answer(task)

    shape = {"generations": 1}
    with pytest.raises(_Killed):
        _run(tmp_path, Dying(), **shape)
    executor = _Trainer()
    _, records = _run(tmp_path, executor, **shape)
    assert _trainings(executor) == sum(r["phase"] == "population" for r in records) - 5


@pytest.fixture(
    scope="module",
    params=[{"lines": 2}, {"branches": 2}],
)
def undisturbed(request, tmp_path_factory):
    """A run never stopped: its shape, what it found, its records, the lines of its journal."""
    folder = tmp_path_factory.mktemp("whole")
    result, records = _run(folder, **request.param)
    lines = (folder / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    return request.param, result, records, lines


@pytest.mark.slow
@pytest.mark.parametrize("kept", [1, 8, 14, 20])
def test_a_run_resumed_anywhere_ends_like_one_never_stopped(tmp_path, kept, undisturbed):
    shape, first, records, lines = undisturbed
    (tmp_path / "evaluations.jsonl").write_bytes(b"".join(lines[:kept]))
    # None of the networks of the first process are there: all are made again, to the same bits.
    second, again = _run(tmp_path, **shape)
    assert again == records
    assert json.dumps(second.verdict.words) == json.dumps(first.verdict.words)
    for name, values in first.weights.items():
        np.testing.assert_array_equal(values, second.weights[name])
