"""Levels of a stack: each is fitted to what the one before it says; none knows the fold that judges."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest
from stack_data import stack_data

from efn_compose.assess.prediction_store.blocks import probability_of
from efn_compose.errors import ConfigError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.jobs.ensembles.stacking.batch import fit_and_ask
from efn_compose.jobs.ensembles.stacking.inputs import Further, StackData
from efn_compose.jobs.ensembles.stacking.portfolio import load_portfolio
from efn_compose.jobs.ensembles.stacking.run import fit_portfolio
from efn_compose.store.journal import Journal

SERIAL = ExecutorOptions(kind="serial")


@pytest.fixture(scope="module")
def data():
    return stack_data()


LEVELS = """
[[model]]
kind = "ridge"
strength = [1, 100]
[[model]]
kind = "ridge"
level = 2
strength = 3
[[model]]
kind = "ridge"
level = 3
restack = [false, true]
table = [false, true]
"""


@pytest.mark.slow
def test_a_level_is_fitted_to_what_the_level_before_says_out_of_fold(data, tmp_path):
    path = tmp_path / "levels.toml"
    path.write_text(LEVELS)
    models, _ = load_portfolio(str(path))
    assert [model.level for model in models] == [1, 1, 2, 3, 3, 3, 3]

    def fit(name, **changes):
        (tmp_path / name).mkdir(exist_ok=True)
        with closing(Journal(tmp_path / name / "evaluations.jsonl")) as journal:
            return fit_portfolio(models, data, tmp_path / name, journal, SERIAL, **changes)

    whole = fit("whole")
    # Without restacking there is no table to see, so both lines without it are one answer.
    assert len(whole.models) == 7 and np.array_equal(whole.probability[3], whole.probability[5])
    second = dataclasses.replace(models[2], level=1)
    by_hand = StackData.of(whole.probability[:2], whole.test[:2], data.label, data.fold)
    assert np.array_equal(probability_of(fit_and_ask(second, by_hand))[120:], whole.test[2])
    for fold in range(3):
        # Both levels are fitted as if there were no such rows, which are asked about as new images are.
        own, inside = data.fold == fold, data.fold != fold
        rest = StackData(
            data.logits[inside], data.logits[own],
            Further(data.further.numbers[inside], data.further.codes[inside]),
            Further(data.further.numbers[own], data.further.codes[own]),
            data.label[inside], data.fold[inside],
        )  # fmt: skip
        said = np.stack([probability_of(fit_and_ask(model, rest)) for model in models[:2]])
        count = inside.sum()
        rest = StackData.of(said[:, :count], said[:, count:], data.label[inside], data.fold[inside])
        found = probability_of(fit_and_ask(second, rest))[count:]
        assert np.array_equal(found, whole.probability[2][own])
    one, three = (np.zeros((count, data.answers, 2), np.float32) for count in (2, 1))
    seen = [data.above(one).above(three).seen(model)[0].values.shape[1] for model in models[3:]]
    assert sorted(seen) == [1, 1, 1 + 2 + 8, 1 + 2 + 8 + 2 + 3]
    # Late in level 1: no model above it is fitted to half of a level.
    turns = iter([False, True, True, True])
    late = fit("late", is_late=lambda: next(turns))
    assert 0 < len(late.models) < 2 and late.missing == 7 - len(late.models)
    assert np.array_equal(fit("late").probability, whole.probability)
    for text, words in (
        ('[[model]]\nkind = "ridge"\nlevel = 2', "needs models of level 1"),
        ('[[model]]\nkind = "ridge"\nrestack = true', "no levels before it"),
        ('[[model]]\nkind = "ridge"\nlevel = 0', "level 0; allowed: 1 to 9"),
        ('[[model]]\nkind = "ridge"\nlevel = 200000000', "allowed: 1 to 9"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=words):
            load_portfolio(str(path))


@pytest.mark.slow
def test_no_level_knows_a_label_of_the_fold_that_it_is_asked_about(data, tmp_path):
    """Labels at random: a level that knew some would be right where the first level cannot be."""
    path = tmp_path / "levels.toml"
    path.write_text(LEVELS)
    models, _ = load_portfolio(str(path))
    label = data.label.copy()
    label[data.fold == 2] = 1 - label[data.fold == 2]
    found = []
    for name, labels in (("true", data.label), ("turned", label)):
        (tmp_path / name).mkdir()
        with closing(Journal(tmp_path / name / "evaluations.jsonl")) as journal:
            changed = dataclasses.replace(data, label=labels)
            found.append(fit_portfolio(models, changed, tmp_path / name, journal, SERIAL))
    own = data.fold == 2
    for true, turned in zip(found[0].probability, found[1].probability, strict=True):
        assert np.array_equal(true[own], turned[own]) and not np.array_equal(true, turned)
