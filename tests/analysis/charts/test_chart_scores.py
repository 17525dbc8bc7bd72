"""The picture of paired differences: what it shows whole, and what it leaves to an arrow."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from efn_compose.analysis.charts.chart_scores import scores_figure, visible_differences
from efn_compose.analysis.reading.scoreboard import ArmView, Scoreboard

ARROW = "m-7-4l7 4-7 4"


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_every_interval_lies_within_the_picture(seeds):
    spans = np.random.default_rng(seeds).normal(-0.01, 0.02, (4, seeds))
    low, high = visible_differences(spans.tolist())
    means, errors = spans.mean(axis=1), stats.sem(spans, axis=1)
    ends = np.array(stats.t.interval(0.95, seeds - 1, loc=means, scale=errors))
    assert low < ends.min() < ends.max() < high
    assert low < min(spans.min(), 0.0) < max(spans.max(), 0.0) < high


def drawn(**differences):
    """Return the figure of contestants whose losses are those of a donor plus these differences."""
    donor = np.array([0.50, 0.53, 0.49, 0.51, 0.52])
    arms = [ArmView("lite1", "donor", tuple(donor))]
    for name, difference in differences.items():
        kind = "average" if name == "uniform_average" else "composed"
        arms.append(ArmView(name, kind, tuple(donor + np.array(difference))))
    board = Scoreboard(tuple(arms), "composed", "lite1", "validation")
    return str(scores_figure(SimpleNamespace(donors=()), board))


def test_a_contestant_a_little_worse_is_drawn_beside_a_better_one():
    page = drawn(
        composed=[-0.05, -0.04, -0.01, -0.03, -0.02],
        uniform_average=[0.02, 0.01, 0.005, 0.015, 0.01],
    )
    assert ARROW not in page and "An arrow" not in page


def test_a_contestant_far_off_is_an_arrow_and_the_caption_says_so():
    page = drawn(
        composed=[-0.05, -0.04, -0.01, -0.03, -0.02], uniform_average=[1.9, 2.0, 2.1, 2.0, 2.05]
    )
    assert page.count(ARROW) == 2, "one on the wide picture, one on the narrow picture"
    assert "An arrow stands for a contestant too far to the right to be drawn." in page
