"""Second-level models: portfolios, what they see, and a level that is killed and goes on."""

import dataclasses
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
from stack_data import stack_data

from efn_compose.errors import ConfigError, DataError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executors.time_limit import TimeLimit
from efn_compose.evolve.workers.task import Outcome
from efn_compose.jobs.ensembles.stacking import run
from efn_compose.jobs.ensembles.stacking.batch import StackBatch, StackWorker, fit_and_ask
from efn_compose.jobs.ensembles.stacking.inputs import Scaler, Seen, StackData
from efn_compose.jobs.ensembles.stacking.kinds import KINDS
from efn_compose.jobs.ensembles.stacking.portfolio import load_portfolio
from efn_compose.jobs.ensembles.stacking.run import fit_portfolio
from efn_compose.jobs.ensembles.stacking.tabular import read_further
from efn_compose.store import arrays
from efn_compose.store.journal import Journal, read_journal

SERIAL = ExecutorOptions(kind="serial")
FILE = """
[[model]]
kind = "ridge"
inputs = ["logits", "ranks"]
strength = [1, 100]
columns = 0.5
seed = [1, 2]
[[model]]
kind = "neighbours"
count = 15
[[model]]
kind = "extra_trees"
trees = 10
"""


@pytest.fixture(scope="module")
def data():
    return stack_data()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("portfolio") / "portfolio.toml"
    path.write_text(FILE)
    return load_portfolio(str(path))[0]


def test_a_portfolio_is_a_grid_of_models_each_with_its_own_hash(models, tmp_path):
    assert len(models) == 2 * 2 * 2 + 2 and len({model.key for model in models}) == 10
    same = tmp_path / "same.toml"
    same.write_text('[[model]]\nkind = "neighbours"\ncolumns = 1\ncount = 15\n')
    assert load_portfolio(str(same))[0][0].key == models[8].key
    same.write_text(
        '[[model]]\nkind = "magic"\n[[model]]\nkind = "ridge"\ntrees = 3\n'
        '[[model]]\nkind = "ridge"\ncolumns = 2.0\n'
        '[[model]]\nkind = ["ridge", "dense"]\n[[model]]\nkind = "ridge"\nseed = []\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_portfolio(str(same))
    for words in (
        "'magic'", "ridge has no trees", "columns 2.0", "model 4: kind ['ridge', 'dense']", "seed = []",
    ):  # fmt: skip
        assert words in str(caught.value)
    same.write_text("model = [1]")
    with pytest.raises(ConfigError, match="model 1: kind None"):
        load_portfolio(str(same))
    default, plain = load_portfolio("default")[0], load_portfolio("default", False)[0]
    assert len(plain) >= 15 and set(plain) < set(default)
    assert {model.kind for model in set(default) - set(plain)} >= {"embeddings"}


def test_a_ridge_is_the_closed_form_on_what_it_may_see(data, models):
    model = next(m for m in models if dict(m.parameters).get("strength") == 100.0)
    rows = data.seen(model)[0].values
    # Half of eight columns, of two classes one logit; two numbers and three categories of the table.
    assert rows.shape == (120, 4 + 2 + 3)
    found = fit_and_ask(model, data)
    inside = data.fold != 1
    x, truth = rows[inside].astype(np.float64), np.eye(2)[data.label[inside]]
    gap = np.nanmedian(x, axis=0)
    x, asked = (np.where(np.isnan(v), gap, v) for v in (x, rows[~inside].astype(np.float64)))
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, asked = (x - mean) / deviation, (asked - mean) / deviation
    slope = np.linalg.solve(x.T @ x + 100 * np.eye(9), x.T @ (truth - truth.mean(axis=0)))
    stated = np.clip(asked @ slope + truth.mean(axis=0), 1e-6, 1)
    wanted = np.log(stated[:, 1] / stated[:, 0]) / 2
    assert found[:120][~inside][:, 1] == pytest.approx(wanted, abs=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.is_there])
def test_no_model_sees_the_labels_of_the_rows_it_predicts(data, kind, tmp_path):
    path = tmp_path / "one.toml"
    fewer = {"trees": 20, "rounds": 20, "epochs": 10}
    words = [f"{k} = {v}" for k, v in fewer.items() if k in KINDS[kind].parameters]
    path.write_text("\n".join(["[[model]]", f'kind = "{kind}"', *words]))
    (model,), _ = load_portfolio(str(path))
    found = fit_and_ask(model, data)
    assert np.array_equal(found, fit_and_ask(model, data))
    right = (found[:120].argmax(axis=1) == data.label).mean()
    assert right > 0.7
    label = data.label.copy()
    label[data.fold == 2] = 1 - label[data.fold == 2]
    other = fit_and_ask(model, StackData(**{**vars(data), "label": label}))
    same = data.fold == 2
    assert np.array_equal(other[:120][same], found[:120][same])
    assert not np.array_equal(other[120:], found[120:])


def test_ranks_are_those_among_the_rows_that_are_fitted_on():
    known = _seen([[3.0], [1.0], [2.0], [2.0]], [[1], [2], [4], [4]])
    scaler = Scaler(known, "ranks")
    assert scaler(known)[:, 0].tolist() == [0.75, -0.75, 0.0, 0.0]
    found = scaler(_seen([[9.0], [0.0], [np.nan]], [[2], [3], [0]]))
    assert found[:, 0].tolist() == [1.0, -1.0, 0.0]
    # A category that these rows do not have is the unknown one.
    assert found[:, 1].tolist() == [2, 0, 0]


def _seen(values, codes):
    return Seen(np.array(values, np.float32), np.array(codes))


@pytest.mark.slow
def test_a_killed_level_goes_on_and_ends_with_the_same_bytes(data, models, tmp_path, monkeypatch):
    def fit(name, **changes):
        (tmp_path / name).mkdir(exist_ok=True)
        journal = Journal(tmp_path / name / "evaluations.jsonl")
        try:
            return fit_portfolio(models, data, tmp_path / name, journal, SERIAL, **changes)
        finally:
            journal.close()

    whole = fit("whole")
    assert (len(whole.models), whole.failed, whole.missing) == (10, 0, 0)
    turns = iter([False, False, False, True])
    late = fit("late", is_late=lambda: next(turns))
    assert 0 < len(late.models) < 10 and late.missing == 10 - len(late.models)
    # As a kill between file and line leaves it: the file is there, the line is not.
    reads, read_sealed = [], arrays.read_sealed
    for place in (arrays, run):
        monkeypatch.setattr(
            place, "read_sealed", lambda path: reads.append(path.name) or read_sealed(path)
        )
    lines = (tmp_path / "late" / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "late" / "evaluations.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    done = fit("late")
    # Once to know that it is whole, and once for its values.
    assert max(Counter(reads).values()) == 2
    assert np.array_equal(done.probability, whole.probability)
    assert np.array_equal(done.test, whole.test)
    for path in (tmp_path / "whole" / "stack").iterdir():
        assert path.read_bytes() == (tmp_path / "late" / "stack" / path.name).read_bytes()
    records = read_journal(tmp_path / "late" / "evaluations.jsonl").records
    assert len({record["model"] for record in records}) == len(records) == 9


@pytest.mark.slow
@pytest.mark.skipif(not KINDS["lightgbm"].is_there, reason="needs the extra stacking")
def test_a_model_that_its_library_refuses_leaves_the_others_of_its_batch(data, tmp_path):
    path = tmp_path / "refused.toml"
    path.write_text('[[model]]\nkind = "ridge"\n[[model]]\nkind = "lightgbm"\nleaves = [1, 7]')
    models, _ = load_portfolio(str(path))
    # As a worker fits them: all in one batch.
    answers = StackBatch(models).run(StackWorker(data))
    assert [answer.logits is not None for answer in answers] == [True, False, True]
    assert answers[1].error.startswith("LightGBMError") and not answers[1].is_lost
    for _ in range(2):
        with closing(Journal(tmp_path / "evaluations.jsonl")) as journal:
            found = fit_portfolio(models, data, tmp_path, journal, SERIAL)
        assert (len(found.models), found.failed, found.missing) == (2, 1, 0)
    # The model's own error is an answer: the second time nothing was left to do.
    records = read_journal(tmp_path / "evaluations.jsonl").records
    assert [bool(record["error"]) for record in records] == [False, True, False]


def test_a_slow_kind_of_model_does_not_count_as_hanging_after_many_fast_ones(models):
    ridges, trees = models[:2], models[-1:]
    limit = TimeLimit(first_seconds=900)
    for _ in range(20):
        limit.take(StackBatch(ridges).pace, 0.05)
    # Half a minute for what has always taken no time, and all patience for what is not known.
    assert limit.seconds(StackBatch(models[2:4]).pace) < 40
    assert limit.seconds(StackBatch(trees).pace) == 900
    assert limit.seconds(StackBatch(models).pace) == 900


class Death(BaseException):
    """What no worker survives."""


class DyingExecutor:
    """Answers in this process; a worker that dies is an outcome with an error, as on Ray."""

    workers = 1

    def __init__(self, setup, data, *_):
        self.worker = setup.make_worker(data, None)

    def run(self, tasks):
        for position, task in enumerate(tasks):
            try:
                yield position, Outcome(task.run(self.worker), None, 0, 0.0)
            except Death:
                yield position, Outcome(None, "worker died, 3 times", 0, 0.0)

    def close(self):
        pass


@pytest.mark.slow
def test_only_the_model_that_takes_its_worker_along_is_fitted_again_by_resume(
    data, tmp_path, monkeypatch
):
    path = tmp_path / "deadly.toml"
    strengths = ", ".join(str(n) for n in range(1, 25))
    path.write_text(
        f'[[model]]\nkind = "ridge"\nstrength = [{strengths}]\n[[model]]\nkind = "ridge"\nlevel = 2'
    )
    models, _ = load_portfolio(str(path))
    ridge, deadly = KINDS["ridge"], {5.0: Death, 17.0: MemoryError}

    def fit_or_die(x, y, parameters, seed):
        if parameters["strength"] in deadly:
            raise deadly[parameters["strength"]]
        return ridge.fit(x, y, parameters, seed)

    def fit(name):
        (tmp_path / name).mkdir(exist_ok=True)
        with closing(Journal(tmp_path / name / "evaluations.jsonl")) as journal:
            return fit_portfolio(models, data, tmp_path / name, journal, SERIAL)

    whole = fit("whole")
    monkeypatch.setitem(KINDS, "ridge", dataclasses.replace(ridge, fit=fit_or_die))
    monkeypatch.setattr(run, "make_executor", DyingExecutor)
    # 22 of 24 answer. Two do not, nor does the model above that would stand on all of them.
    found = fit("deadly")
    assert (len(found.models), found.failed, found.missing) == (22, 0, 3)
    deadly.clear()
    found = fit("deadly")
    assert (len(found.models), found.failed, found.missing) == (25, 0, 0)
    assert np.array_equal(found.probability, whole.probability)
    records = read_journal(tmp_path / "deadly" / "evaluations.jsonl").records
    lost = [(r["strength"], r["error"]) for r in records if r["phase"] == "stack lost"]
    assert lost == [(17.0, "MemoryError: "), (5.0, "worker died, 3 times")]
    assert len({r["model"] for r in records if r["phase"] == "stack"}) == len(records) - 2 == 25


@pytest.mark.slow
def test_a_model_that_takes_its_worker_along_in_two_runs_does_not_block_the_level_above(
    data, tmp_path, monkeypatch
):
    path = tmp_path / "deadly.toml"
    path.write_text(
        '[[model]]\nkind = "ridge"\nstrength = [1, 5]\n[[model]]\nkind = "ridge"\nlevel = 2'
    )
    models, _ = load_portfolio(str(path))
    ridge = KINDS["ridge"]

    def fit_or_die(x, y, parameters, seed):
        if parameters["strength"] == 5.0:
            raise Death
        return ridge.fit(x, y, parameters, seed)

    monkeypatch.setitem(KINDS, "ridge", dataclasses.replace(ridge, fit=fit_or_die))
    monkeypatch.setattr(run, "make_executor", DyingExecutor)
    said: list[str] = []

    def fit():
        with closing(Journal(tmp_path / "evaluations.jsonl")) as journal:
            found = fit_portfolio(models, data, tmp_path, journal, SERIAL, say=said.append)
        return len(found.models), found.failed, found.missing

    assert fit() == (1, 0, 2)
    assert said[-1].endswith("--resume tries again")
    assert fit() == (2, 1, 0)
    assert any(words.endswith("as before: it is not tried again") for words in said)
    said.clear()
    assert fit() == (2, 1, 0) and not said


def test_further_columns_are_read_and_suspects_are_left_out(tmp_path):
    rows, images = [f"a/i{n}.png" for n in range(6)], ["t0.png", "t1.png"]
    labels = np.array([0, 1, 2, 1, 0, 0])
    lines = ["name,age,site,same,note,index,class,found,side,owner"]
    sites = ["arm", "leg", "Arm", "leg", "", "arm"]
    ages = ["40", "", "61", "22", "35", "50"]
    # As in a competition's table: the class under another name, with a gap; what a biopsy found; and
    # a column that parts the classes without naming each.
    classes = ["nevus", "Melanoma", "wart", "melanoma", "", "nevus"]
    sides = ["a", "b", "a", "b", "a", "a"]
    lines += [
        f"i{n},{ages[n]},{sites[n]},x,note {n},{n},{classes[n]},{n % 2},{sides[n]},p{n // 2}"
        for n in range(6)
    ]
    lines += ["t0.png,33,hand,x,no,6,nevus,,a,p7", "t1,nan,leg,x,no,7,wart,NA,b,p8"]
    path = tmp_path / "columns.csv"
    path.write_text("\n".join(lines))
    found = read_further(path, rows, images, labels)
    assert found.numbers == ("age",)
    assert found.categories == {"site": ("arm", "leg", ""), "side": ("a", "b")}
    assert np.isnan(found.rows.numbers[1, 0]) and np.isnan(found.images.numbers[1, 0])
    assert found.rows.codes[:, 0].tolist() == [1, 2, 1, 2, 3, 1]
    assert found.images.codes[:, 0].tolist() == [0, 2]
    shown = found.images.one_hot([3, 0])
    assert shown[:, 1:].tolist() == [[0, 0, 0], [0, 1, 0]]
    told = " ".join(found.notes)
    for words in (
        "same is constant", "note is different", "index follows", "'hand'",
        "class tells the labels", "found is empty for all test images",
        "owner has no category of a labelled row in test images",
    ):  # fmt: skip
        assert words in told
    with pytest.raises(DataError, match=r"1 test images have no line, such as t9\.png"):
        read_further(path, rows, [*images, "t9.png"], labels)
    # The same line again says nothing new; another one contradicts it.
    path.write_text("\n".join([*lines, lines[1], lines[2].replace("leg", "arm")]))
    with pytest.raises(DataError, match=r"1 labelled images have several lines that differ, .*i1"):
        read_further(path, rows, images, labels)
