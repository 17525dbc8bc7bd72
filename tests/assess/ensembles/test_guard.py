"""The guard: it writes the climb where that helps, and the median where columns have leaked."""

import dataclasses

import numpy as np
import pytest
from made_up_models import fitted_models

from efn_compose.assess.ensembles import (
    give_verdict,
    judge_methods,
    score,
    suspect_columns,
    told_apart,
)
from efn_compose.assess.ensembles.giveaways import giveaways
from efn_compose.assess.ensembles.leaks import describe_suspects
from efn_compose.errors import ConfigError, DataError

DRAWS = 10


def _decide(out_of_fold, test, rows):
    suspects = suspect_columns(out_of_fold, rows.label, test)
    names = [f"model{number}" for number in range(len(out_of_fold))]
    judged = judge_methods(out_of_fold, rows, "auc", ["bagged_climb"])
    return (
        suspects,
        judged,
        give_verdict(judged, "bagged_climb", describe_suspects(suspects, names)),
    )


@pytest.mark.slow
def test_leaking_columns_are_named_and_the_median_is_written():
    right, lost = 0, []
    for seed in range(DRAWS):
        out_of_fold, test, rows, truth, leaks = fitted_models(seed, leaking=4)
        suspects, judged, verdict = _decide(out_of_fold, test, rows)
        named = [suspect.column for suspect in suspects]
        right += verdict.winner == "median" and named == leaks
        # Without the probe the climb would have been believed, and lost on the test rows.
        assert judged["bagged_climb"].against_fallback.is_ahead
        climbed = judged["bagged_climb"]
        hidden = score("auc", truth, climbed.combination.combine(test)).value
        lost.append(climbed.honest.value - hidden)
    assert right >= 9
    assert np.mean(lost) > 0.05
    assert f"model{leaks[0]} " in " ".join(verdict.reasons)
    assert told_apart(out_of_fold, test) > 0.6


def test_few_test_rows_are_told_apart_by_chance_alone_and_fewer_than_five_not_at_all():
    logits = np.random.default_rng(0).normal(size=(3, 2000))
    stated = 1 / (1 + np.exp(-np.stack([-logits, logits], axis=-1)))
    found = []
    for seed in range(60):
        chosen = np.random.default_rng(seed).permutation(2000)[:108]
        found.append(told_apart(stated[:, chosen[8:]], stated[:, chosen[:8]], seed))
    # All rows are of one kind: the area is a half, but for the error of 60 draws.
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / np.sqrt(60))
    assert told_apart(stated[:, 4:], stated[:, :4]) is None


@pytest.mark.slow
def test_of_clean_columns_the_climb_is_written_and_is_better_on_the_test_rows():
    right, gains, apart = 0, [], []
    for seed in range(DRAWS):
        out_of_fold, test, rows, truth, _ = fitted_models(seed)
        suspects, judged, verdict = _decide(out_of_fold, test, rows)
        right += verdict.winner == "bagged_climb" and not suspects
        values = [
            score("auc", truth, one.combination.combine(test)).value for one in judged.values()
        ]
        gains.append(values[1] - values[0])
        apart.append(told_apart(out_of_fold, test))
    assert right >= 9
    assert np.mean(gains) > 0.01
    assert max(apart) < 0.6 and np.mean(apart) == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_on_labels_drawn_after_the_models_the_honest_score_is_chance_and_the_flattering_one_is_not():
    judged = []
    for seed in range(6):
        out_of_fold, _, rows, _, _ = fitted_models(seed, effect=0.0)
        drawn = np.random.default_rng([seed, 1]).permutation(rows.label)
        rows = dataclasses.replace(rows, label=drawn)
        judged.append(judge_methods(out_of_fold, rows, "auc", ["bagged_climb", "climb"]))
    for method in ("bagged_climb", "climb"):
        assert np.mean([one[method].honest.value for one in judged]) == pytest.approx(0.5, abs=0.02)
        assert np.mean([one[method].flattering.value for one in judged]) > 0.55


def test_what_cannot_be_judged_is_refused_at_once():
    out_of_fold, _, rows, _, _ = fitted_models(0, rows=40, models=3)
    with pytest.raises(ConfigError, match="Received: magic"):
        judge_methods(out_of_fold, rows, "auc", ["magic"])
    with pytest.raises(ConfigError, match="ranks"):
        judge_methods(out_of_fold, rows, "loss", ["rank_mean"])
    assert "rank_mean" not in judge_methods(out_of_fold, rows, "loss")
    assert "rank_mean" in judge_methods(out_of_fold, rows, "auc")
    out_of_fold[1, 2, 0] = np.nan
    rows.label[rows.fold == 3] = 1
    with pytest.raises(DataError, match="not finite") as caught:
        judge_methods(out_of_fold, rows, "auc", [])
    assert "fold 3 has no image of a" in str(caught.value)


def test_a_value_tells_the_classes_whatever_its_shape_and_chance_does_not():
    rng = np.random.default_rng(5)
    labels, fold = rng.integers(0, 3, 600), np.arange(600) % 5
    values = {
        "rising": labels + rng.normal(size=600),
        "in the middle": np.where(labels == 1, 0, rng.choice([-2, 2], 600)) + rng.normal(size=600),
        "constant": np.ones(600),
    }
    found = {one.name: one for one in giveaways(values, labels, fold)}
    assert list(found) == ["rising", "in the middle"]
    # Many rows come near the theorem on areas: normal scores one deviation apart.
    label, fold_of = rng.integers(0, 2, 8000), np.arange(8000) % 5
    (one,) = giveaways({"one": label + rng.normal(size=8000)}, label, fold_of)
    assert one.area == pytest.approx(0.760, abs=0.015)  # Phi(1 / sqrt(2))
    # 200 draws of nothing: none is found.
    nothing = {str(n): rng.normal(size=600) for n in range(200)}
    assert giveaways(nothing, labels, fold) == []
    sizes = {"order": np.arange(600)}
    assert giveaways(sizes, np.sort(labels), rng.permutation(fold))[0].area > 0.95
