"""The error of a soup's verdict: over images, or over patients whose images vary together."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from efn_compose.data import DataOptions, load_data, load_table
from efn_compose.jobs.soup.judge import Answers
from efn_compose.jobs.soup.verdict import give_soup_verdict

PATIENTS, EACH = 40, 6
GROUPS = np.repeat(np.arange(PATIENTS), EACH) + 100


def answers(margins, loss):
    """Answers of two classes that are right by so much; the first class is the true one."""
    logits = np.stack([margins, np.zeros_like(margins)], axis=1)
    return Answers(logits, logits, 1.0, loss, 1.0)


def judged(rng, groups):
    """The verdict on two networks that are equally good: what differs is a matter of patients."""
    base = 1.0 + rng.normal(size=PATIENTS * EACH)
    shift = np.repeat(0.5 * rng.normal(size=PATIENTS), EACH)
    labels = np.zeros(PATIENTS * EACH, int)
    verdict = give_soup_verdict(
        answers(base + shift, 1.0), {"b0": answers(base - shift, 1.0)}, labels, groups
    )
    return verdict, np.logaddexp(0, -(base + shift)) - np.logaddexp(0, -(base - shift))


def test_the_error_is_that_of_means_of_patients():
    verdict, differences = judged(np.random.default_rng(0), GROUPS)
    means = differences.reshape(PATIENTS, EACH).mean(axis=1)
    assert verdict.loss.mean == pytest.approx(means.mean())
    assert verdict.loss.standard_error == pytest.approx(stats.sem(means))
    assert verdict.patients == PATIENTS and "on 240 images of 40 patients" in verdict.words
    alone, _ = judged(np.random.default_rng(0), None)
    assert alone.loss.standard_error == pytest.approx(stats.sem(differences))
    assert "patients" not in alone.words


def test_of_equal_networks_the_soup_is_better_as_rarely_as_one_error_promises():
    rng = np.random.default_rng(1)
    better = [judged(rng, GROUPS)[0].loss.is_clearly_better for _ in range(800)]
    assert np.mean(better) == pytest.approx(stats.norm.sf(1), abs=0.04)
    over_images = [judged(rng, None)[0].loss.is_clearly_better for _ in range(400)]
    assert np.mean(over_images) > 0.25, "without patients the error is too small"


def test_the_patients_of_the_test_images_come_along():
    table = load_table("digits")
    groups = (np.arange(len(table)) // 3).astype(np.int32)
    options = DataOptions("digits", size=32)
    data = load_data(options, 1, table=replace(table, groups=groups))
    assert np.array_equal(data.test_groups, groups[data.split.test])
    assert load_data(options, 1).test_groups is None
