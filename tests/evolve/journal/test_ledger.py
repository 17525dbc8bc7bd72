"""The ledger: replay from the journal, order of lines, failures. No TensorFlow here."""

import contextlib
import random

import pytest

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.errors import EvaluationError, ResumeMismatchError
from efn_compose.evolve.journal.ledger import Ledger, Purpose
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask, Outcome
from efn_compose.store.journal import Journal

#: Nobody composes anything here.
SEAT = Seat(GenomeSpace(arch_spec("lite0"), 2, "block"), [{}, {}])
MANY_TASKS = [EvaluationTask(Recipe.genome((n, 0)), seed=7) for n in range(12)]
TASKS = MANY_TASKS[:6]


class QuietWatcher:
    """Draws nothing."""

    def on_evaluation(self, record, is_replayed):
        """Ignore the record."""


class ShuffledExecutor:
    """Answers in a random order, as workers do; counts what it is asked."""

    workers = 3

    def __init__(self, seed=0, fails=()):
        self.asked, self.seats = [], []
        self._seed, self._fails = seed, set(fails)

    def run(self, tasks, seat=None):
        self.seats.append(seat)
        order = list(range(len(tasks)))
        random.Random(self._seed).shuffle(order)
        for position in order:
            self.asked.append(tasks[position])
            gene = tasks[position].recipe.values[0]
            if gene in self._fails:
                yield position, Outcome(None, "worker died", 1, 0.1)
            else:
                scores = {"validation": {"loss": 1.0 / (1 + gene), "accuracy": 0.5}}
                yield position, Outcome(Evaluation(scores=scores, train_loss=1.0), None, 0, 0.1)


def _lines(path):
    import json

    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        record.pop("timing")
    return records


@pytest.fixture
def ledger_on(tmp_path):
    def make(executor, name="j.jsonl"):
        return Ledger(Journal(tmp_path / name), executor, QuietWatcher())

    return make


def test_lines_stand_in_task_order_whatever_order_workers_finish_in(ledger_on, tmp_path):
    for seed in range(5):
        ledger_on(ShuffledExecutor(seed), f"{seed}.jsonl").evaluate(
            Purpose("search", 1), TASKS, SEAT
        )
    journals = [_lines(tmp_path / f"{seed}.jsonl") for seed in range(5)]
    assert all(journal == journals[0] for journal in journals)
    assert [record["recipe"]["values"][0] for record in journals[0]] == list(range(6))


@pytest.mark.parametrize("kept", [0, 3, 6])
def test_donors_are_got_once_and_only_where_something_is_left_to_evaluate(
    ledger_on, tmp_path, kept
):
    """A replayed generation's networks may lie on no disk any more."""
    ledger_on(ShuffledExecutor()).evaluate(Purpose("search"), TASKS, SEAT)
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    executor, got = ShuffledExecutor(), []
    ledger_on(executor).evaluate(Purpose("search"), TASKS, lambda: got.append(SEAT) or SEAT)
    assert got == executor.seats == [SEAT] * (kept < len(TASKS))


def test_answers_come_in_task_order(ledger_on):
    found = ledger_on(ShuffledExecutor(3)).evaluate(Purpose("search"), TASKS, SEAT)
    assert [evaluation.loss for evaluation in found] == [1.0 / (1 + n) for n in range(6)]


@pytest.mark.parametrize("kept", range(7))
def test_replay_asks_only_for_what_the_journal_lacks(ledger_on, tmp_path, kept):
    ledger_on(ShuffledExecutor()).evaluate(Purpose("search"), TASKS, SEAT)
    path = tmp_path / "j.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:kept]))
    executor = ShuffledExecutor(9)
    found = ledger_on(executor).evaluate(Purpose("search"), TASKS, SEAT)
    assert sorted(task.recipe.values[0] for task in executor.asked) == list(range(kept, 6))
    assert [evaluation.loss for evaluation in found] == [1.0 / (1 + n) for n in range(6)]
    assert len(path.read_bytes().splitlines()) == 6


def test_a_journal_of_another_run_is_refused(ledger_on):
    ledger_on(ShuffledExecutor()).evaluate(Purpose("search"), TASKS, SEAT)
    other = [EvaluationTask(Recipe.genome((5, 5)), seed=7)]
    with pytest.raises(ResumeMismatchError, match="recipe"):
        ledger_on(ShuffledExecutor()).evaluate(Purpose("search"), other, SEAT)
    with pytest.raises(ResumeMismatchError, match="phase"):
        ledger_on(ShuffledExecutor()).evaluate(Purpose("final"), TASKS, SEAT)


def test_a_failure_is_recorded_with_its_reason_and_replayed(ledger_on, tmp_path):
    found = ledger_on(ShuffledExecutor(fails=[2])).evaluate(Purpose("search"), TASKS, SEAT)
    assert (found[2].loss, found[2].error) == (None, "worker died")
    assert _lines(tmp_path / "j.jsonl")[2]["error"] == "worker died"
    again = ledger_on(ShuffledExecutor()).evaluate(Purpose("search"), TASKS, SEAT)
    assert again[2].error == "worker died"


def test_many_failures_in_a_row_stop_the_run_with_a_diagnosis(ledger_on, tmp_path):
    ledger = ledger_on(ShuffledExecutor(fails=range(12)))
    with pytest.raises(EvaluationError, match=r"10 evaluations failed in a row.*worker died"):
        ledger.evaluate(Purpose("search"), MANY_TASKS, SEAT)
    assert len(_lines(tmp_path / "j.jsonl")) == 10


@pytest.mark.parametrize("failing", [range(12), [10, 11]])
def test_a_mended_run_ends_like_one_that_never_failed(ledger_on, tmp_path, failing):
    """What stopped a run says to mend the cause and to resume: replayed failures would stop it again."""
    ledger_on(ShuffledExecutor(), "whole.jsonl").evaluate(Purpose("search"), MANY_TASKS, SEAT)
    broken = ledger_on(ShuffledExecutor(fails=failing))
    with contextlib.suppress(EvaluationError):
        broken.evaluate(Purpose("search"), MANY_TASKS, SEAT)
    mended = ledger_on(ShuffledExecutor())
    found = mended.evaluate(Purpose("search"), MANY_TASKS, SEAT)
    assert [evaluation.loss for evaluation in found] == [1.0 / (1 + n) for n in range(12)]
    assert mended.asked_again == min(len(failing), 10)
    assert _lines(tmp_path / "j.jsonl") == _lines(tmp_path / "whole.jsonl")


def test_an_executor_that_loses_tasks_is_noticed(ledger_on):
    class Losing(ShuffledExecutor):
        def run(self, tasks, seat=None):
            yield from list(super().run(tasks))[:-1]

    with pytest.raises(EvaluationError, match="of 6 tasks"):
        ledger_on(Losing()).evaluate(Purpose("search"), TASKS, SEAT)
