"""How long the next evaluations are expected to take."""

import statistics

from efn_compose.evolve.journal.run_clock import RunClock


def clock_after(seconds):
    clock = RunClock()
    for value in seconds:
        clock.take({"timing": {"wall_seconds": value}}, is_replayed=False)
    return clock


def test_a_machine_that_slows_down_is_noticed_within_a_dozen_evaluations():
    before = [4.0, 4.5, 5.0] * 30
    assert clock_after(before).seconds_per_evaluation == statistics.median(before)
    assert clock_after([*before, *[20.0] * 11]).seconds_per_evaluation == 20.0
    # A few slow ones are luck.
    assert clock_after([*before, *[20.0] * 5]).seconds_per_evaluation < 6


def test_a_quick_stretch_promises_nothing():
    assert clock_after([5.0] * 90 + [0.1] * 11).seconds_per_evaluation == 5.0


def test_nothing_is_expected_before_the_first():
    assert RunClock().seconds_per_evaluation is None
