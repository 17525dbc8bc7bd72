"""`efn-compose study` as a person runs it, on tiny networks."""

import csv
import json
import operator
import re
import shutil
import sys

import numpy as np
import pytest
from executor_kinds import keep_ray
from killed_at_the_line import count_epochs, kill_after_the_line, kill_before_the_line
from page_checks import Page
from random_donors import TINY
from tiny_study import settings, study_place
from traced_trainers import share_study_trainers, spoil

from efn_compose.analysis.page.study_report import render_study
from efn_compose.analysis.reading.study.folder import read_study
from efn_compose.analysis.reading.study.words import verdict
from efn_compose.arch.cost import cost
from efn_compose.cli import main
from efn_compose.data.cache.images import CachedImages
from efn_compose.errors import ResumeMismatchError
from efn_compose.jobs.study import job as study_job
from efn_compose.jobs.study.job import study
from efn_compose.jobs.study.pacing import estimate
from efn_compose.jobs.study.pacing.paces import StudyPace, read_paces
from efn_compose.jobs.study.preparation import STORED, prepare_study
from efn_compose.jobs.trainings.watching.progress import TrainingProgress
from efn_compose.store import read_journal
from efn_compose.store.environment import usable_cores


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return study_place(tmp_path_factory.mktemp("study"))


#: Changes for a study of equal seconds.
SECONDS = {"study__equal": "seconds", "train__epochs": 6}
SECONDS_OF = operator.itemgetter("seconds")


def interrupt_once(monkeypatch):
    """Interrupt the next study, as Ctrl-C does, when the first of its tasks has ended."""
    original, begun = TrainingProgress.finish, []

    def interrupt(self, line):
        begun.append(line)
        if len(begun) == 1:
            raise KeyboardInterrupt
        original(self, line)

    monkeypatch.setattr(TrainingProgress, "finish", interrupt)


@pytest.fixture(scope="module")
def traced():
    """Trainers of the study that is not disturbed, for others."""
    return {}


@pytest.fixture(scope="module")
def undisturbed(place, traced):
    with pytest.MonkeyPatch.context() as patch:
        share_study_trainers(patch, traced)
        return study(overrides=settings(place, "undisturbed"), quiet=True)


@pytest.fixture(scope="module")
def rows_of_24(undisturbed):
    """The table of a study of 24 pixels alone: half of its trainings must fail."""
    head, *rows = undisturbed.table.read_bytes().splitlines(keepends=True)
    parts = [row.split(b",", 1) for row in rows]
    # Sizes vary fastest, so that every other point is one of 24 pixels.
    kept = [b"%d,%s" % (int(point) // 2, rest) for point, rest in parts if int(point) % 2]
    return b"".join([head, *kept])


@pytest.mark.slow
def test_a_study_leaves_a_row_per_training_and_says_why_some_failed(undisturbed):
    with open(undisturbed.table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2
    good = [row for row in rows if (row["resolution"], row["augment.grid_cells"]) != ("24", "16")]
    assert all(row["error"] == "" and float(row["loss"]) > 0 for row in good)
    assert all("must divide" in row["error"] for row in rows if row not in good)
    assert {int(row["multiply_adds"]) for row in good} == {
        cost(TINY, side, 4).multiply_adds for side in (16, 24)
    }
    result = json.loads((undisturbed.folder / "result.json").read_text())
    assert result["failed"] == 2 and result["leader"] in result["tied"]
    losses = {}
    for row in good:
        losses.setdefault(int(row["point"]), []).append(float(row["loss"]))
    assert result["leader"] == min(losses, key=lambda point: np.mean(losses[point]))
    assert not (undisturbed.folder / "unfinished").exists()


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_with_the_same_table(
    rows_of_24, place, traced, monkeypatch
):
    words = settings(place, "killed", study__resolutions="24")
    arguments = ["study", "grid", "--quiet", "--set", *words]
    # One training has ended; of the three that are left, one can be made and two cannot.
    interrupt_once(monkeypatch)
    share_study_trainers(monkeypatch, traced)
    assert main(arguments) == 130
    spoil(traced.values())
    view = read_study(place / "killed")
    assert "still to be made" in verdict(view) and Page(render_study(view)).text
    assert len(read_journal(place / "killed/evaluations.jsonl").records) == 1
    assert main(arguments) == 1
    assert main([*arguments, "--resume"]) == 0
    assert (place / "killed" / "table.csv").read_bytes() == rows_of_24
    names = [r["training"] for r in read_journal(place / "killed/evaluations.jsonl").records]
    assert len(names) == len(set(names)) == 4


@pytest.mark.slow
def test_a_training_that_ended_is_never_made_again(rows_of_24, place, traced, monkeypatch):
    words = settings(place, "at_the_line", study__resolutions="24")
    arguments = ["study", "grid", "--quiet", "--set", *words]
    states = place / "at_the_line/unfinished"
    share_study_trainers(monkeypatch, traced)
    with monkeypatch.context() as patch:
        kill_before_the_line(patch)
        assert main(arguments) == 130
    assert len(list(states.iterdir())) == 1
    spoil(traced.values())
    made = count_epochs(monkeypatch)
    with monkeypatch.context() as patch:
        kill_after_the_line(patch, study_job, "forget_states")
        assert main([*arguments, "--resume"]) == 130
    assert len(list(states.iterdir())) == 1 and not made
    assert main([*arguments, "--resume"]) == 0
    # Of the three that are left, one can be made.
    assert made == [0] and not states.exists()
    assert (place / "at_the_line" / "table.csv").read_bytes() == rows_of_24


@pytest.mark.slow
def test_a_resumed_study_compares_what_settings_mean_and_names_those_that_differ(
    undisturbed, place
):
    shutil.copytree(undisturbed.folder, place / "older")
    config, environment = (place / "older" / name for name in ("config.toml", "environment.json"))
    # As a version would have written it that did not have this setting yet.
    config.write_text(re.sub(r"(?m)^label_smoothing = .*\n", "", config.read_text()))
    told = json.loads(environment.read_text())
    told["identity"]["config"] = STORED.hash(config.read_text())
    environment.write_text(json.dumps(told))
    summary = study(overrides=settings(place, "older"), quiet=True, resume=True)
    assert summary.table.read_bytes() == undisturbed.table.read_bytes()
    changes = {"train__epochs": 2, "validation__seeds": 3}
    with pytest.raises(ResumeMismatchError) as caught:
        study(overrides=settings(place, "older", **changes), quiet=True, resume=True)
    words = str(caught.value)
    assert "train.epochs: the run has 1, now 2" in words
    assert "validation.seeds: the run has 2, now 3" in words and "smoothing" not in words


@pytest.mark.slow
def test_a_folder_whose_journal_counts_other_combinations_is_refused(undisturbed, place):
    shutil.copytree(undisturbed.folder, place / "reversed")
    design = json.loads((place / "reversed/study.json").read_text())
    design["points"].reverse()
    (place / "reversed/study.json").write_text(json.dumps(design))
    with pytest.raises(ResumeMismatchError, match="other combinations"):
        study(overrides=settings(place, "reversed"), resume=True, quiet=True)
    assert json.loads((place / "reversed/study.json").read_text()) == design


@pytest.fixture(scope="module")
def equal(place, traced):
    """A study whose trainings take equal seconds."""
    with pytest.MonkeyPatch.context() as patch:
        share_study_trainers(patch, traced)
        return study(overrides=settings(place, "equal", **SECONDS), quiet=True)


def copied(equal, place, name, records):
    """Return a copy of the study as one that was killed after some of its trainings left it."""
    shutil.copytree(equal.folder, place / name)
    for file in ("table.csv", "times.csv", "report.html", "result.json"):
        (place / name / file).unlink()
    journal = place / name / "evaluations.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:records]))
    return place / name


@pytest.mark.slow
def test_epochs_follow_from_the_paces_that_the_folder_keeps(equal):
    rows = json.loads((equal.folder / "paces.json").read_text())["paces"]
    design = json.loads((equal.folder / "study.json").read_text())
    assert [row["points"] for row in rows] == [[0], [1], [2]] and design["equal"] == "seconds"
    # 38 of 48 images train, all of them give the statistics, 10 validate.
    epoch = [38 * s["train"] + 48 * s["forward"] + s["between"] for s in map(SECONDS_OF, rows)]
    for point, value in enumerate(epoch):
        assert design["points"][point]["epochs"] == round(6 * np.median(epoch) / value)
    assert {row["clock"] for row in rows} == {"processor"}
    view = equal.view
    assert all(row.spent > 0 and row.clock == "processor" for row in view.rows if not row.error)
    result = json.loads((equal.folder / "result.json").read_text())
    assert "get equal processor seconds, in" in result["budget"][0]
    means = [np.mean([r.spent for r in view.rows if r.point == point]) for point in range(3)]
    assert f"{min(means):.2f} to {max(means):.2f} processor seconds" in result["budget"][1]
    assert f"by {100 * np.std(means) / np.mean(means):.1f} %" in result["budget"][1]
    text = Page(equal.report.read_text(encoding="utf-8")).text
    assert all(line in text for line in result["budget"]) and "Processor seconds" in text
    assert (
        verdict(view) == equal.verdict and (equal.folder / "times.csv").read_text().count("\n") == 9
    )


@pytest.mark.slow
def test_a_worker_of_ray_goes_on_with_equal_seconds_to_the_table_of_this_process(equal, place):
    # One worker: that two end in any order is proved by trainings.
    keep_ray()
    folder = copied(equal, place, "ray", 1)
    changes = SECONDS | {"executor__kind": "ray", "executor__workers": 1}
    summary = study(overrides=settings(place, "ray", **changes), quiet=True, resume=True)
    assert summary.table.read_bytes() == equal.table.read_bytes()
    assert (folder / "paces.json").read_bytes() == (equal.folder / "paces.json").read_bytes()


@pytest.mark.slow
def test_a_killed_study_keeps_what_it_measured_and_tries_again_what_failed(
    place, traced, monkeypatch
):
    # The first pace is in the folder. The second one is not measured yet, or had failed.
    interrupt_once(monkeypatch)
    share_study_trainers(monkeypatch, traced)
    words = settings(place, "early", **SECONDS, study__factors="", validation__seeds=1)
    arguments = ["study", "grid", "--quiet", "--set", *words]
    assert main(arguments) == 130
    first = json.loads((place / "early/paces.json").read_text())["paces"]
    assert len(first) == 1 and "still to be made" in verdict(read_study(place / "early"))
    groups = prepare_study(None, [*words, "study.kind=grid"], show_progress=False).groups
    content = {"paces": [*first, groups[1].to_json() | {"error": "DeviceError: a worker died"}]}
    (place / "early/paces.json").write_text(json.dumps(content))
    assert main([*arguments, "--resume"]) == 0
    whole = json.loads((place / "early/paces.json").read_text())["paces"]
    assert len(whole) == 2 and whole[0] == first[0] and "error" not in whole[1]
    assert not any(row.error for row in read_study(place / "early").rows)


@pytest.mark.slow
def test_paces_that_were_changed_or_lost_are_refused_by_name(equal, place):
    folder = copied(equal, place, "changed", 1)
    words = settings(place, "changed", **SECONDS)
    content = json.loads((folder / "paces.json").read_text())
    for name in content["paces"][0]["seconds"]:
        content["paces"][0]["seconds"][name] *= 3
    (folder / "paces.json").write_text(json.dumps(content))
    with pytest.raises(ResumeMismatchError, match=r"changed after the study[^-]*- point 0 \("):
        study(overrides=words, quiet=True, resume=True)
    (folder / "paces.json").unlink()
    with pytest.raises(ResumeMismatchError, match="the paces are gone"):
        study(overrides=words, quiet=True, resume=True)
    assert len(read_journal(folder / "evaluations.jsonl").records) == 1


@pytest.mark.slow
def test_the_dry_run_gives_the_epochs_that_the_study_decides_on(equal, place, monkeypatch, capsys):
    words = settings(place, "dry", **SECONDS)
    prepared = prepare_study(None, words, show_progress=False)
    kept = read_paces(equal.folder, prepared.groups)
    monkeypatch.setattr(estimate, "_measured", lambda study, points: [kept[n] for n in points])
    assert main(["study", "grid", "--json", "--dry-run", "--set", *words]) == 0
    design = json.loads((equal.folder / "study.json").read_text())
    found = json.loads(capsys.readouterr().out)
    assert found["epochs"] == [point["epochs"] for point in design["points"]]
    assert len(found["measured"]) == 3 and not (place / "dry").exists()


@pytest.mark.slow
def test_the_page_is_whole_and_loads_nothing(undisturbed):
    page = Page(undisturbed.report.read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert not page.find("script") and not page.find("img") and not page.find("link")
    for title in ("By score", "Main effects", "Pairs of axes", "All axes at once", "Cost"):
        assert title in page.text
    assert "must divide" in page.text and undisturbed.verdict in page.text


@pytest.mark.slow
def test_backbones_have_scores_without_training_and_a_verdict_on_each_data_set(
    undisturbed, place, traced, monkeypatch, capsys
):
    shutil.copy(place / "images.npz", place / "again.npz")
    sources = ",".join(f"npz:{place / name}.npz" for name in ("images", "again"))
    changes = {
        "study__kind": "backbones", "study__factors": "", "data__source": "",
        "study__sources": sources, "study__resolutions": "16", "validation__seeds": 1,
    }  # fmt: skip
    share_study_trainers(monkeypatch, traced)
    words = settings(place, "backbones", **changes)
    assert main(["study", "backbones", "--set", *words]) == 0
    said = capsys.readouterr().out
    view = read_study(place / "backbones")
    found = json.loads((place / "backbones/result.json").read_text())
    assert [row["score"] for row in found["correlations"]] == ["knn", "log_me", "ridge"] * 2
    assert [row["data"] for row in found["data_sets"]] == sources.split(",")
    # The same images twice are two blocks of one combination.
    assert view.scores.shape == (1, 2) and view.scores[0, 0] == view.scores[0, 1]
    assert all(line in said for line in found["findings"]) and len(found["findings"]) == 2
    text = Page((place / "backbones/report.html").read_text(encoding="utf-8")).text
    assert "LogME" in text and "It takes six donors" in text


@pytest.mark.slow
def test_the_estimate_is_measured_and_nothing_is_written(place):
    changes = {"study__factors": "", "train__epochs": 100, "executor__kind": "auto"}
    changes |= {"study__resolutions": "16"}
    prepared = prepare_study(None, settings(place, "dry", **changes), show_progress=False)
    found = estimate.estimate_hours(prepared)
    # No number of workers is set, so there is one per core; other work makes the wall's hours more.
    assert found.hours > 0.5 * found.core_hours / usable_cores()
    # Hundred epochs of 48 images, less those that validate, under two seeds, and no less.
    assert found.core_hours * 3600 > 100 * 2 * 38 * float(found.per_image.sum())
    assert np.isfinite(found.per_image).all() and not (place / "dry").exists()


def test_the_estimate_counts_every_training_that_is_possible(place, monkeypatch):
    """With a clock that goes by multiply-adds, said and summed over trainings one by one agree."""

    def seconds(plan):
        adds = cost(TINY, plan.side).multiply_adds
        fixed = {"set_up": 2.0, "start": 0.5, "between": 0.03, "once": 0.2}
        return StudyPace(train=adds * 3e-9, forward=adds * 1e-9, **fixed)

    monkeypatch.setattr(
        estimate, "_measured", lambda study, points: [seconds(study.plans[n]) for n in points]
    )
    changes = {"train__epochs": 5, "train__recalibrate_images": 20, "validation__folds": 2}
    prepared = prepare_study(None, settings(place, "dry", **changes), show_progress=False)
    found = estimate.estimate_hours(prepared)
    total, traced = 0.0, set()
    for plan in prepared.plans:
        if (plan.side, plan.augment.grid_cells) == (24, 16):
            continue
        pace = seconds(plan)
        # Two folds of 48 images, under two seeds; a network is traced once for both sizes.
        total += 2 * 2 * 5 * (24 * pace.train + (20 + 24) * pace.forward + 0.03)
        # The donor is brought to the network for each fold.
        total += 2 * 0.5 + 2 * 2 * 0.2
        traced.add(plan.train)
    assert found.core_hours * 3600 == pytest.approx(total + 2.0 * len(traced), rel=1e-6)


def test_images_are_where_the_settings_say_and_listed_once(place, tmp_path, monkeypatch):
    def again(*words, **more):
        raise AssertionError("listed again")

    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys.modules["efn_compose.jobs.trainings.images"], "load_table", again)
    words = settings(place, "cached", executor__images="cache")
    images = prepare_study(None, words, show_progress=False).images
    assert sorted(side for _, side in images) == [16, 24]
    assert all(isinstance(found.folded.images, CachedImages) for found in images.values())


@pytest.mark.slow
def test_equal_multiply_adds_give_dear_networks_fewer_epochs(place):
    changes = {"study__factors": "", "train__epochs": 30}
    words = settings(place, "equal", study__equal="multiply-adds", **changes)
    plans = prepare_study(None, words, show_progress=False).plans
    spent = [p.train.epochs * cost(p.architecture, p.side).multiply_adds for p in plans]
    assert plans[0].train.epochs > 30 > plans[-1].train.epochs
    assert max(spent) / min(spent) < 1.05
    # Of four combinations the last one cannot be trained: of the others the middle one has 16 px.
    words = settings(place, "equal", study__equal="multiply-adds", train__epochs=30)
    plans = prepare_study(None, words, show_progress=False).plans
    assert [plan.train.epochs for plan in plans if plan.side == 16] == [30, 30]
