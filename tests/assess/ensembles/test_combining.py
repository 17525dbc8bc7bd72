"""Scores, plain combinations and climbs, against scipy, scikit-learn and plain loops."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from efn_compose.assess.ensembles import METHODS, compare, score
from efn_compose.assess.ensembles.climbing import bagged_climb, climb
from efn_compose.assess.ensembles.scoring import Judge
from efn_compose.assess.ensembles.selection import select
from efn_compose.errors import ConfigError


def models(count=5, rows=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    logits = rng.normal(size=(count, rows, classes)) + 1.2 * np.eye(classes)[labels]
    shares = np.exp(logits)
    return shares / shares.sum(axis=2, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_those_of_scikit_learn(classes):
    stated, labels = models(classes=classes)
    stated[0] = np.round(stated[0], 1)  # ties
    stated[0] /= stated[0].sum(axis=1, keepdims=True)
    for one in stated:
        area = (
            roc_auc_score(labels, one[:, 1])
            if classes == 2
            else roc_auc_score(labels, one, multi_class="ovr")
        )
        assert score("auc", labels, one).value == pytest.approx(area, abs=1e-12)
        given = np.maximum(one, 1e-12)
        loss = log_loss(labels, given / given.sum(axis=1, keepdims=True))
        assert -score("loss", labels, one).value == pytest.approx(loss, abs=1e-9)
        assert score("accuracy", labels, one).value == (one.argmax(axis=1) == labels).mean()
    for measure in ("auc", "loss", "accuracy"):
        wanted = [score(measure, labels, one).value for one in stated]
        assert Judge(measure, labels, classes).values(stated) == pytest.approx(wanted, abs=1e-12)
    with pytest.raises(ConfigError, match="auc, loss, accuracy"):
        score("brier", labels, stated[0])


@pytest.mark.parametrize("measure", ["auc", "loss"])
def test_the_error_of_a_paired_difference_is_that_of_leaving_out_rows_one_by_one(measure):
    stated, labels = models(count=2, rows=300, classes=2, seed=3)
    found = compare(*(score(measure, labels, one) for one in stated))
    rows = np.arange(300)
    left = [
        score(measure, labels[rows != n], stated[0][rows != n]).value
        - score(measure, labels[rows != n], stated[1][rows != n]).value
        for n in rows
    ]
    jackknife = np.sqrt(299 / 300 * ((left - np.mean(left)) ** 2).sum())
    assert found.standard_error == pytest.approx(jackknife, rel=0.02)
    # A patient's images tell as much as one image where they are copies of it.
    twice = np.repeat(rows, 2)
    doubled = [score(measure, labels[twice], one[twice]) for one in stated]
    clustered = compare(*doubled, clusters=twice)
    assert clustered.standard_error == pytest.approx(found.standard_error, rel=0.02)
    assert compare(*doubled).standard_error < 0.75 * clustered.standard_error


def test_plain_combinations_are_those_of_scipy():
    stated, labels = models(count=7)
    found = {
        name: METHODS[name](stated, labels, "auc", 0).combine(stated)
        for name in ("mean", "median", "geometric", "trimmed", "rank_mean")
    }

    def scaled(values):
        return values / values.sum(axis=1, keepdims=True)

    assert found["mean"] == pytest.approx(stated.mean(axis=0))
    assert found["median"] == pytest.approx(scaled(np.median(stated, axis=0)))
    assert found["geometric"] == pytest.approx(scaled(stats.gmean(stated, axis=0)))
    assert found["trimmed"] == pytest.approx(scaled(stats.trim_mean(stated, 0.2, axis=0)))
    ranks = stats.rankdata(stated, axis=1).mean(axis=0)
    assert found["rank_mean"] == pytest.approx((ranks - 0.5) / 40)


@pytest.mark.parametrize("measure", ["auc", "loss"])
def test_a_climb_takes_the_best_step_each_time(measure):
    stated, labels = models(count=6, classes=2, seed=5)

    def value(one):
        return roc_auc_score(labels, one[:, 1]) if measure == "auc" else -log_loss(labels, one)

    picks, best = [], (-np.inf, 0)
    for step in range(1, 9):
        values = [value(stated[[*picks, n]].mean(axis=0)) for n in range(6)]
        picks.append(int(np.argmax(values)))
        best = max(best, (round(max(values), 11), -step))
    wanted = np.bincount(picks[: -best[1]], minlength=6) / -best[1]
    assert climb(stated, labels, measure, picks=8) == pytest.approx(wanted)


def test_a_bagged_climb_spreads_its_weights_and_repeats():
    stated, labels = models(count=12, rows=200, classes=2, seed=2)
    once = bagged_climb(stated, labels, "auc", seed=4)
    assert once.sum() == pytest.approx(1) and (once >= 0).all()
    assert np.array_equal(once, bagged_climb(stated, labels, "auc", seed=4))
    assert np.count_nonzero(once) > np.count_nonzero(climb(stated, labels, "auc"))


def test_doubles_and_columns_far_behind_are_left_out_of_a_climb():
    stated, labels = models(count=6, rows=200, classes=2, seed=7)
    doubles = np.concatenate([stated, stated[:1] ** 1.1, stated[1:2]])
    wrong = np.concatenate([doubles, 1 - stated[:1]])
    found = select(wrong, labels, "auc")
    assert (found.behind, found.doubles) == (1, 2)
    assert 8 not in found.kept and len(found.kept) == 6
    fitted = METHODS["climb"](wrong, labels, "auc", 0)
    assert (fitted.behind, fitted.doubles) == (1, 2) and fitted.weights[8] == 0
