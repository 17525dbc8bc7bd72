"""A study on several data sets: what is planted is found, and hard data do not lose."""

import re

import numpy as np
import pytest
from page_checks import Page
from planted_study import write_planted

from efn_compose.analysis.page.study_report import render_study
from efn_compose.analysis.reading.study.folder import read_study
from efn_compose.analysis.reading.study.words import (
    ONE_FOLD,
    data_verdicts,
    interaction_lines,
    to_json,
    verdict,
)

AXES = {"width": [0.25, 0.5, 1.0], "data": ["easy", "hard"], "resolution": [32, 64]}
HARD = {"easy": 0.2, "hard": 1.8}


def loss(levels, seed):
    """Width 0.5 is best everywhere; 64 pixels help on the hard data, and hurt a little elsewhere."""
    rng = np.random.default_rng([seed, round(100 * levels["width"]), levels["resolution"]])
    value = HARD[levels["data"]] + {0.25: 0.1, 0.5: 0.0, 1.0: 0.05}[levels["width"]]
    if levels["resolution"] == 64:
        value += {"easy": 0.03, "hard": -0.2}[levels["data"]]
    return value + rng.normal(0, 0.002) + 0.05 * seed


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    return read_study(write_planted(tmp_path_factory.mktemp("planted") / "study", AXES, loss))


def test_the_best_over_all_and_on_each_data_set_are_those_planted(view):
    assert len(view.points) == 6 and len(view.rows) == 36
    assert view.name(view.lead.leader) == "width 0.5, resolution 64"
    assert data_verdicts(view) == [
        "On easy: best is width 0.5, resolution 32.",
        "On hard: best is width 0.5, resolution 64.",
    ]
    (line,) = interaction_lines(view)
    sizes = [float(number) for number in re.findall(r"0\.\d+", line)]
    assert sizes == pytest.approx([0.03, 0.2], abs=0.004)
    assert re.sub(r"0\.\d+", "so much", line) == (
        "What resolution does depends on the data set: on easy 32 is so much better than 64; "
        "on hard 64 is so much better than 32."
    )
    # Over both data sets 64 pixels gain 0.085; no difference contains how hard the data are.
    assert view.means.max() - view.means.min() < 0.25
    assert [axis for axis, _ in view.axes] == ["width", "resolution"]
    resolution = view.effects[1]
    assert resolution[0].mean - resolution[1].mean == pytest.approx(0.085, abs=0.01)
    on_easy, on_hard = (effects[1] for effects in view.effects_by_data)
    assert on_easy[1].mean == pytest.approx(0.015, abs=0.004)
    assert on_hard[1].mean == pytest.approx(-0.1, abs=0.004)


def test_a_lead_over_all_data_sets_says_where_it_is_none(view):
    assert verdict(view) == (
        "Best over 2 data sets: width 0.5, resolution 64. On easy another one is ahead of it. "
        f"{ONE_FOLD}"
    )
    found = to_json(view)
    assert found["leader"] == view.lead.leader and len(found["combinations"]) == 6
    assert [row["leader"] for row in found["data_sets"]] == [lead.leader for lead in view.leads]
    assert found["depends_on_data"][1]["probability"] < 0.001
    assert found["combinations"][0]["points"] == [0, 2]


def test_the_page_shows_each_data_set_and_mixes_none(view):
    text = Page(render_study(view)).text
    assert "On easy: best is width 0.5, resolution 32." in text
    assert "What resolution does depends on the data set" in text
    assert "less the mean of its data set, fold and seed" in text
    assert "2 data sets, 1 fold, 3 seeds" in text


def test_a_combination_that_is_better_everywhere_is_best_over_all(tmp_path):
    def better(levels, seed):
        return loss(levels, seed) - (levels["width"] == 0.5 and levels["resolution"] == 64) * 0.4

    view = read_study(write_planted(tmp_path / "study", AXES, better))
    assert verdict(view) == f"Best over 2 data sets: width 0.5, resolution 64. {ONE_FOLD}"


def test_what_two_data_sets_contradict_is_a_tie_over_both(tmp_path):
    """64 pixels gain 0.2 on one and lose 0.12 on the other: each is told apart, the mean is not."""

    def contrary(levels, seed):
        is_large_and_easy = levels["data"] == "easy" and levels["resolution"] == 64
        return loss(levels, seed) + 0.09 * is_large_and_easy

    view = read_study(write_planted(tmp_path / "study", AXES, contrary))
    assert {view.name(number) for number in view.lead.tied} >= {
        "width 0.5, resolution 32", "width 0.5, resolution 64",
    }  # fmt: skip
    assert verdict(view) == (
        f"{len(view.lead.tied)} of 6 combinations are tied for the lead over 2 data sets. {ONE_FOLD}"
    )
    assert [view.name(lead.leader)[-2:] for lead in view.leads] == ["32", "64"]
    assert all(lead.is_alone for lead in view.leads)


def test_designs_of_earlier_versions_with_other_combinations_per_data_set_are_read(tmp_path):
    """Their fractions took the data set for an axis: no combination met two data sets."""

    def chosen(levels):
        return (levels["width"] == 0.5) == (levels["data"] == "easy")

    view = read_study(write_planted(tmp_path / "study", AXES, loss, chosen=chosen))
    assert verdict(view) == ("No combination has a score of every fold and seed of every data set.")
    assert data_verdicts(view) == [
        "On easy: best is width 0.5, resolution 32.",
        "On hard: best is width 1, resolution 64.",
    ]
    assert np.isfinite(view.means).all() and "not compared" in Page(render_study(view)).text


def test_what_failed_on_one_data_set_is_not_compared_over_all(tmp_path):
    def failing(levels, seed):
        is_lost = levels["width"] == 0.5 and levels["data"] == "hard"
        return None if is_lost else loss(levels, seed)

    view = read_study(write_planted(tmp_path / "study", AXES, failing))
    assert view.name(view.lead.leader).startswith("width 1")
    assert {view.name(n) for n in np.flatnonzero(np.isnan(view.lead.probability))} == {
        "width 0.5, resolution 32", "width 0.5, resolution 64", view.name(view.lead.leader),
    }  # fmt: skip
    assert "width 0.5, resolution 32 on hard" in Page(render_study(view)).text


@pytest.mark.parametrize(
    ("lasting", "words"),
    [
        ((0.5,), "Nothing to compare: width 0.5, resolution 32 alone has scores."),
        ((0.5, 1.0), f"Best: width 0.5, resolution 32. {ONE_FOLD}"),
    ],
)
def test_a_combination_is_best_only_of_those_with_scores(tmp_path, lasting, words):
    def some(levels, seed):
        return loss(levels, seed) if levels["width"] in lasting else None

    axes = {**AXES, "data": ["easy"], "resolution": [32]}
    view = read_study(write_planted(tmp_path / "study", axes, some))
    assert verdict(view).replace(", resolution 32", "") == words.replace(", resolution 32", "")


def test_where_trainings_failed_each_data_set_keeps_its_share_of_the_mean(tmp_path):
    def some(levels, seed):
        failed = levels == {"width": 0.25, "data": "hard", "resolution": 32} and seed > 1
        return None if failed else loss(levels, seed)

    study = read_study(write_planted(tmp_path / "study", AXES, some))
    scores = np.array([row.scores.get("loss", np.nan) for row in study.rows]).reshape(3, 2, 2, 3)
    whole = np.delete(scores.transpose(0, 2, 1, 3).reshape(6, 2, 3), 0, axis=0)
    easy, hard = scores[0, :, 0] - whole.mean(axis=0)
    wanted = (easy.mean() + hard[0]) / 2
    assert study.means[0] == pytest.approx(wanted)
    shown = f"{wanted:.4f}".replace("-", "\N{MINUS SIGN}")
    assert re.search(
        rf"width 0\.25, resolution 32.{{0,80}}{shown} ± 0\.\d{{4}}", render_study(study)
    )
