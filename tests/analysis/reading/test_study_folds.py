"""Seeds of a fold share its images: verdicts and errors of a study are those over folds."""

from pathlib import Path

import numpy as np
import pytest
from page_checks import Page
from scipy import stats

from efn_compose.analysis.page.study_report import render_study
from efn_compose.analysis.reading.study.view import Row, StudyView
from efn_compose.analysis.reading.study.words import ONE_FOLD, verdict
from efn_compose.assess.studies.lead import ONE_ERROR


def view_of(losses, data_sets=1):
    """Losses (combination, data set x fold x seed) as a study's folder would give them."""
    folds, seeds = losses.shape[2:]
    shape = (len(losses), data_sets, folds * seeds)
    rows = [
        Row(combination * data_sets + data, repeat, {} if np.isnan(loss) else {"loss": float(loss)})
        for (combination, data, repeat), loss in np.ndenumerate(losses.reshape(shape))
    ]
    names = [f"data{n}" for n in range(data_sets)]
    design = {
        "kind": "grid", "metric": "loss", "lower_is_better": True,
        "axes": [{"name": "size", "levels": list(range(len(losses)))},
                 {"name": "data", "levels": names}],
        "points": [
            {"levels": [c, d], "network": "lite0", "parameters": 1, "multiply_adds": 1, "epochs": 1}
            for c in range(len(losses)) for d in range(data_sets)
        ],
        "blocks": [{"fold": f, "seed": s} for f in range(folds) for s in range(1, seeds + 1)],
        "images": dict.fromkeys(names, 100),
    }  # fmt: skip
    return StudyView(Path("made"), design, rows, [])


def equal(rng, combinations, folds, seeds, data_sets=1):
    """Equal combinations: what the images of a fold do to each, and what a seed does beside."""
    shape = (combinations, data_sets, folds)
    return rng.normal(size=(*shape, 1)) + 0.5 * rng.normal(size=(*shape, seeds))


def test_of_two_equal_combinations_one_is_best_as_often_as_promised():
    """By each seed as a block of its own, one is best in two thirds of all studies."""
    rng = np.random.default_rng(0)
    leads = [view_of(equal(rng, 2, 3, 5)).lead.is_alone for _ in range(1500)]
    # The leader is chosen by the same scores, so both directions count.
    assert np.mean(leads) == pytest.approx(2 * ONE_ERROR, abs=0.04)
    several = [view_of(equal(rng, 2, 3, 5, 2), 2) for _ in range(700)]
    alone = [lead.is_alone for view in several for lead in view.leads]
    # Holm's steps go over both data sets together.
    assert ONE_ERROR < np.mean(alone) < 2 * ONE_ERROR


def test_intervals_of_effects_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    inside = [view_of(equal(rng, 3, 4, 5)).effects[0][0] for _ in range(700)]
    covered = np.mean([effect.low < 0 < effect.high for effect in inside])
    assert covered == pytest.approx(0.95, abs=0.025)


def test_an_axis_without_interactions_is_rarely_said_to_depend_on_the_data():
    rng = np.random.default_rng(2)
    found = [bool(view_of(equal(rng, 3, 3, 5, 2), 2).dependent) for _ in range(400)]
    assert np.mean(found) < 0.08


def test_the_test_is_the_paired_one_over_means_of_folds():
    losses = equal(np.random.default_rng(3), 4, 5, 3) + 0.3 * np.arange(4)[:, None, None, None]
    lead = view_of(losses).lead
    means = losses[:, 0].mean(axis=2)
    assert lead.leader == means.mean(axis=1).argmin()
    raw = {
        n: stats.ttest_rel(means[n], means[lead.leader], alternative="greater").pvalue
        for n in range(4) if n != lead.leader
    }  # fmt: skip
    worst = max(raw, key=lambda n: raw[n])
    smallest = min(raw, key=lambda n: raw[n])
    assert lead.probability[smallest] == pytest.approx(3 * raw[smallest])
    assert lead.probability[worst] >= raw[worst]


def test_a_seed_that_failed_is_left_out_of_both_in_its_fold():
    losses = equal(np.random.default_rng(4), 2, 3, 4)
    losses[1] += 2.0
    losses[1, 0, 2, 3] = np.nan
    lead = view_of(losses).lead
    differences = np.nanmean(losses[1, 0] - losses[0, 0], axis=1)
    assert lead.leader == 0
    wanted = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert lead.probability[1] == pytest.approx(wanted)


def test_the_page_shows_errors_over_folds_and_says_what_one_fold_leaves_out():
    losses = equal(np.random.default_rng(5), 2, 4, 3)
    losses[1] += 20.0
    text = Page(render_study(view_of(losses))).text
    means = losses[0, 0].mean(axis=1)
    assert f"{means.mean():.4f} ± {stats.sem(means):.4f}" in text.replace("\N{MINUS SIGN}", "-")
    assert "Seeds of a fold share its images" in text and ONE_FOLD not in text
    single = view_of(losses[:, :, :1])
    assert verdict(single) == f"Best: size 0. {ONE_FOLD}"
    assert "the luck of the images that judge is in none of them" in Page(render_study(single)).text
