"""Whole runs on an executor without networks: phases, order, resuming. No TensorFlow."""

import dataclasses
import itertools
import json
import time

import pytest
from fake_executor import FakeExecutor
from search_runs import lines_without_timing, run_search

from efn_compose.evolve.journal.run_clock import RunClock
from efn_compose.evolve.options import BudgetOptions


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


class SteppingClock(RunClock):
    """A clock that the test moves."""

    now = 0.0

    @property
    def seconds(self):
        return self._before + self.now


class TimedExecutor(FakeExecutor):
    """Each answer takes so many seconds of the test's clock."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def answer(self, task):
        outcome = super().answer(task)
        self.clock.now += self.seconds
        return dataclasses.replace(outcome, seconds=self.seconds)


def _text(folder):
    return (folder / "evaluations.jsonl").read_text()


def _events(folder):
    return [line for line in lines_without_timing(folder) if "event" in line]


@pytest.mark.parametrize("hours", [0.5, 1.0, 3.0])
def test_hours_are_used_but_never_exceeded(tmp_path, hours):
    clock = SteppingClock()
    run_search(tmp_path, TimedExecutor(clock, 36.0), budget=BudgetOptions(hours=hours), clock=clock)
    assert clock.now <= hours * 3600
    # One more generation of 5 would not have fitted beside the margin kept for the finals.
    assert clock.now > hours * 3600 - (5 * 36 + 0.2 * 12 * 36) - 36
    assert [event["limit"] for event in _events(tmp_path)] == ["hours"]


@pytest.mark.parametrize("kept", [5, 10, 17, 22, 30])
def test_a_decision_of_the_clock_is_replayed_whatever_the_time_is_now(tmp_path, kept):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    clock = SteppingClock()
    first, _ = run_search(
        whole, TimedExecutor(clock, 36.0), budget=BudgetOptions(hours=0.4), clock=clock
    )
    content = (whole / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    place = next(n for n, line in enumerate(content) if b'"event"' in line)
    (resumed / "evaluations.jsonl").write_bytes(b"".join(content[:kept]))
    # The resumed run may take a hundred times as long: what is decided is decided.
    clock = SteppingClock()
    budget = BudgetOptions(hours=0.4 if kept <= place else 40.0)
    second, _ = run_search(resumed, TimedExecutor(clock, 36.0), budget=budget, clock=clock)
    assert lines_without_timing(resumed) == lines_without_timing(whole)
    assert second.verdict == first.verdict


def test_time_of_earlier_processes_counts_and_pauses_do_not(tmp_path):
    clock = SteppingClock()
    run_search(tmp_path, TimedExecutor(clock, 36.0), budget=BudgetOptions(hours=1), clock=clock)
    used = clock.now
    again = SteppingClock()
    run_search(tmp_path, TimedExecutor(again, 36.0), budget=BudgetOptions(hours=1), clock=again)
    assert again.seconds == pytest.approx(used, abs=1.0)


@pytest.mark.parametrize("limit", [30, 41, 60])
def test_evaluations_are_counted_over_the_whole_run(tmp_path, limit):
    result, _ = run_search(tmp_path, FakeExecutor(), budget=BudgetOptions(evaluations=limit))
    assert limit - 5 < result.evaluations <= limit
    assert [event["limit"] for event in _events(tmp_path)] == ["evaluations"]


def test_until_no_better_ends_a_search_that_has_converged(tmp_path):
    run_search(tmp_path, FakeExecutor(), budget=BudgetOptions(until_no_better=40))
    searched = [line for line in lines_without_timing(tmp_path) if line.get("phase") == "search"]
    assert len(searched) > 45
    assert _events(tmp_path)[0]["limit"] == "no better"


def test_setting_the_computers_clock_changes_nothing(tmp_path, monkeypatch):
    calm, jumping = tmp_path / "calm", tmp_path / "jumping"
    calm.mkdir(), jumping.mkdir()
    run_search(calm, FakeExecutor(), budget=BudgetOptions(hours=1.0, evaluations=40))
    jumps = itertools.cycle([2e9, -86400.0, 1.7e9, 0.0])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    run_search(jumping, FakeExecutor(), budget=BudgetOptions(hours=1.0, evaluations=40))
    assert lines_without_timing(jumping) == lines_without_timing(calm)
    lines = [json.loads(line) for line in _text(jumping).splitlines()]
    elapsed = [line["timing"]["elapsed"] for line in lines]
    assert elapsed == sorted(elapsed) and elapsed[0] >= 0 and elapsed[-1] < 600
