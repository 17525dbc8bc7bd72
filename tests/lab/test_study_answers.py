"""Answers of the ready-made studies, on results that are planted."""

import numpy as np
import pytest
from lab.study_answers import (
    compound_answer,
    compounds,
    free_answer,
    free_verdicts,
    growths,
    scaling_answer,
)
from made_up_study import write_study
from planted_study import write_planted
from scipy import stats

from efn_compose.analysis.reading.study.folder import read_study

AXES = {
    "width": [0.25, 0.5, 1.0],
    "depth": [0.25, 0.5, 1.0],
    "data": ["one", "two"],
    "resolution": [32, 64, 128],
}
#: As of the made-up study: multiply-adds in doublings, one per level of any axis.
SLOPES = {"width": -0.1, "depth": -0.02, "resolution": -0.05}


def study_of(folder, slopes, more=lambda levels: 0.0):
    def loss(levels, seed):
        numbers = {name: AXES[name].index(levels[name]) for name in slopes}
        rng = np.random.default_rng([seed, *numbers.values(), len(levels["data"])])
        value = sum(slopes[name] * number for name, number in numbers.items())
        return 1 + value + more(levels) + 0.3 * seed + rng.normal(0, 0.001)

    def doubling(levels):
        return 10**6 * 2 ** sum(AXES[name].index(levels[name]) for name in slopes)

    path = write_planted(folder / "study", AXES, loss, multiply_adds=doubling, with_accuracy=True)
    return read_study(path)


def test_growths_are_the_slopes_that_were_planted(tmp_path):
    view = study_of(tmp_path, SLOPES)
    for growth in growths(view, "loss"):
        assert growth.low < SLOPES[growth.axis] < growth.high
        assert growth.mean == pytest.approx(SLOPES[growth.axis], abs=0.001)


def test_one_good_axis_refutes_compound_scaling(tmp_path):
    view = study_of(tmp_path, SLOPES)
    # Wide, shallow and small costs four times the smallest, the compound network eight times.
    assert all(one.standing(one.lead) == "behind" for one in compounds(view, "loss")[:1])
    assert scaling_answer(view, "loss").startswith("Compound scaling does not hold")


def test_networks_that_only_gain_from_growing_alike_prove_it(tmp_path):
    def unlike(levels):
        numbers = [AXES[name].index(levels[name]) for name in SLOPES]
        return 0.5 * (max(numbers) - min(numbers))

    view = study_of(tmp_path, SLOPES, unlike)
    assert scaling_answer(view, "loss").startswith("Compound scaling holds")
    words = compound_answer({"equal epochs": view, "equal cost": view})
    assert words.startswith("Compound scaling holds")
    assert "At equal cost it is ahead of all others in 4 of 4 comparisons" in words


def test_an_axis_of_opposite_worth_is_named(tmp_path):
    def opposite(levels):
        return 0.2 * AXES["resolution"].index(levels["resolution"]) * (levels["data"] == "two")

    words = scaling_answer(study_of(tmp_path, SLOPES, opposite), "loss")
    assert "by resolution moves the loss -0.05 on one and +0.15 on two" in words


def test_free_scores_are_judged_by_scipys_rank_correlation(tmp_path):
    view = read_study(write_study(tmp_path / "study"))
    found = {verdict.score: verdict for verdict in free_verdicts(view)}
    points = [point for point, name, _ in view.free if name == "knn"]
    wanted = stats.spearmanr(range(6), [-view.point_scores(p).mean() for p in points]).statistic
    assert found["kNN"].correlation == pytest.approx(wanted)
    assert found["kNN"].low > 0 and found["kNN"].regrets == [0.0]
    assert "kNN +" in free_answer(view)
