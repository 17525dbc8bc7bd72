"""`efn-compose pipeline` as a person runs it, on a network of two blocks."""

import csv
import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
from itertools import starmap
from pathlib import Path

import numpy as np
import pytest
from forked_commands import start_command
from random_donors import TINY, random_donor
from tiny_story import write_story
from traced_trainers import share_trainers

from efn_compose.assess.out_of_fold import read_predictions
from efn_compose.assess.out_of_fold.file import find_predictions
from efn_compose.cli import main
from efn_compose.errors import (
    ConfigError,
    EvaluationError,
    ResumeMismatchError,
    RunError,
    RunLockedError,
)
from efn_compose.jobs.pipeline.alarm import Alarm, TimeIsUpError
from efn_compose.jobs.pipeline.job import pipeline, prepare_pipeline
from efn_compose.jobs.pipeline.products import fingerprint
from efn_compose.jobs.relay.deadline import Deadline
from efn_compose.store import read_journal
from efn_compose.store.lock import FolderLock

#: Each takes seconds; experiments/results/story.md has five.
_KILLS = 1
FILES = ("submission.csv", "plan_b.csv", "relative/last.h5", "answer/plan_b.csv")


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    write_story(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def traced():
    """One trainer for all chapters of one network and recipe; each of them starts from nothing."""
    with pytest.MonkeyPatch.context() as patch:
        share_trainers(patch, {})
        yield


@pytest.fixture(scope="module")
def undisturbed(place):
    return pipeline(place / "story.toml", output=place / "undisturbed", quiet=True)


@pytest.mark.slow
def test_a_story_ends_with_a_submission_and_a_page_that_links_its_chapters(undisturbed, place):
    assert undisturbed.ended == ("relative", "many", "answer")
    assert undisturbed.left == ()
    rows = list(csv.DictReader(undisturbed.submission.read_text().splitlines()))
    assert len(rows) == 20
    # The ensemble's submission and plan B are the story's; the early one was of another training.
    folder = undisturbed.folder
    for name in ("submission.csv", "plan_b.csv"):
        assert (folder / name).read_bytes() == (folder / "answer" / name).read_bytes()
        assert (folder / name).read_bytes() != (folder / "plan_b/predictions.csv").read_bytes()
    page = undisturbed.report.read_text()
    assert [s for s in ("relative", "many", "answer") if s not in page] == []
    links = re.findall(r'href="([^"#]+)"', page)
    assert "relative/report.html" in links
    assert [link for link in links if not (folder / link).is_file()] == []
    result = read_json(folder / "answer/result.json")
    assert undisturbed.words.startswith(f"2 networks answered, joined by the {result['written']}: ")
    # The whole chain against plan B, on the images that plan B was not trained on.
    (whole,) = [
        row
        for row in read_json(folder / "result.json")["worth"]
        if row["chapter"] == "all chapters"
    ]
    mine, early = (
        read_predictions(find_predictions(folder / name)) for name in ("many", "plan_b/train")
    )
    places = [mine.number.tolist().index(number) for number in early.number]
    right = [
        found.probability[chosen].argmax(axis=1) == early.label
        for found, chosen in ((mine, places), (early, slice(None)))
    ]
    assert whole["gain"] == pytest.approx(right[0].mean() - right[1].mean())
    # Plan B was trained on the story's own folds.
    assert (folder / "plan_b/folds.csv").read_bytes() == (folder / "many/folds.csv").read_bytes()
    # The tiny donor states no licence.
    said = f"No licence is stated by {place}/tiny.h5"
    assert said in undisturbed.words and said in page
    # What a chapter wrote is what the next one read.
    donors = [
        read_json(folder / name / "environment.json")["identity"]["donors"]
        for name in ("many", "plan_b/train")
    ]
    assert donors[0] != donors[1]


@pytest.mark.slow
def test_a_pipeline_that_is_stopped_between_chapters_ends_the_same(
    undisturbed, place, tmp_path, monkeypatch
):
    output = place / "stopped"
    # As it is when the process dies after plan B: later files and lines are not there yet.
    shutil.copytree(undisturbed.folder, output)
    every = (output / "evaluations.jsonl").read_text().splitlines(keepends=True)
    lines = [line for line in every if "products" in line]
    (output / "evaluations.jsonl").write_text("")
    for name in ("many", "answer"):
        shutil.rmtree(output / name)
    relative = (output / "relative").rename(place / "relative of later")
    for name in ("submission.csv", "plan_b.csv"):
        shutil.copy(output / "plan_b/predictions.csv", output / name)
    (output / "result.json").unlink()
    # The end of the time comes before the first chapter.
    first = pipeline(place / "story.toml", output=output, resume=True, hours=1e-9, quiet=True)
    assert first.ended == () and "submission.csv is plan B" in first.words
    assert first.submission.read_bytes() == (output / "plan_b.csv").read_bytes()
    # The first chapter has ended; the second one cannot write into its folder.
    relative.rename(output / "relative")
    with (output / "evaluations.jsonl").open("a") as journal:
        journal.write(lines[0])
    (output / "many").write_text("in its way")
    # From here on the command is given in another folder.
    monkeypatch.chdir(tmp_path)
    output = Path(os.path.relpath(output))
    with pytest.raises(RunError, match=r"Failed: many. Not ended: answer. .* is plan B"):
        pipeline(place / "story.toml", output=output, resume=True, quiet=True)
    result, page = read_json(output / "result.json"), (output / "report.html").read_text()
    assert "a file, not a folder" in result["failed"]["many"] and "a file, not a folder" in page
    # It goes on, and the time is up while the networks are asked: there is a submission of some.
    (output / "many").unlink()
    said = []
    with monkeypatch.context() as patch:
        patch.setattr("efn_compose.jobs.ensembles.deadline.Deadline.is_over", lambda self: True)
        cut = pipeline(
            place / "story.toml", output=output, resume=True, hours=1.0, quiet=True, say=said.append
        )
    assert cut.left == ("answer",) and "what answer wrote, which was cut short" in cut.words
    assert cut.submission.read_bytes() not in (
        (output / "plan_b/predictions.csv").read_bytes(), undisturbed.submission.read_bytes(),
    )  # fmt: skip
    # The same end by the chapter's own budget is what the story asks for.
    shutil.copytree(output, place / "kept")
    with monkeypatch.context() as patch:
        patch.setattr("efn_compose.jobs.ensembles.deadline.Deadline.is_over", lambda self: True)
        budgeted = pipeline(place / "story.toml", output=output, resume=True, quiet=True)
    assert budgeted.left == () and budgeted.words.startswith("1 of 2 networks answered")
    shutil.rmtree(output)
    (place / "kept").rename(output)
    last = pipeline(place / "story.toml", output=output, resume=True, quiet=True, say=said.append)
    assert last.left == () and last.words == undisturbed.words
    # What had ended was not run again.
    assert [words for words in said if words.startswith(("relative", "plan B"))] == []
    for name in FILES:
        assert (output / name).read_bytes() == (undisturbed.folder / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_pipeline_computes_nothing_and_notices_what_was_changed(undisturbed, place):
    folder = place / "changed"
    shutil.copytree(undisturbed.folder, folder)

    def resume(*overrides):
        return pipeline(place / "story.toml", overrides, output=folder, resume=True, quiet=True)

    lines = len(read_journal(folder / "evaluations.jsonl").records)
    for name in ("submission.csv", "plan_b.csv"):
        (folder / name).unlink()
    assert resume().left == ()
    assert len(read_journal(folder / "evaluations.jsonl").records) == lines
    for name in FILES:
        assert (folder / name).read_bytes() == (undisturbed.folder / name).read_bytes(), name
    # The page can be drawn again, from the folder alone.
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == page
    assert main(["report", str(folder), "--follow"]) == 2
    # Another terminal works in the folder.
    lock = FolderLock(folder / "lock")
    with pytest.raises(RunLockedError, match=re.escape(str(folder))):
        resume()
    lock.release()
    weights, submission = folder / "relative/last.h5", folder / "answer/submission.csv"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    submission.unlink()
    sums = [hashlib.sha256(read).hexdigest()[:12] for read in (content, weights.read_bytes())]
    with pytest.raises(RunError) as caught:
        resume()
    assert (
        f"{weights}: the weights of chapter relative is not what the chapter wrote. "
        f"SHA-256 expected: {sums[0]}…, found: {sums[1]}…"
    ) in str(caught.value)
    assert f"{submission}: the submission of chapter answer is missing" in str(caught.value)
    weights.write_bytes(content)
    shutil.copy(folder / "submission.csv", submission)
    with pytest.raises(ResumeMismatchError, match=r"many.train.epochs"):
        resume("many.train.epochs=3")


def test_the_time_runs_while_everything_is_checked(place, tmp_path, monkeypatch):
    story, output = tmp_path / "weights.toml", tmp_path / "run"
    story.write_text(f'[a]\nverb = "convert"\nconvert.file = "{place}/tiny.h5"\n')
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def slow(*arguments):
        clock[0] += 3600
        return prepare_pipeline(*arguments)

    monkeypatch.setattr("efn_compose.jobs.pipeline.job.prepare_pipeline", slow)
    begun = []
    monkeypatch.setattr(
        "efn_compose.jobs.pipeline.job.run_pipeline", lambda p, **rest: begun.append(rest["hours"])
    )
    pipeline(story, output=output, hours=1.5)
    assert begun == [pytest.approx(0.5)]
    pipeline(story, output=output)
    assert begun[1:] == [0]


def test_a_chapter_that_fails_holds_up_those_that_read_it_and_no_other(place, tmp_path):
    story, output = tmp_path / "weights.toml", tmp_path / "run"
    chapter = '[{}]\nverb = "convert"\nconvert.file = "{}"\n'
    first = str(place / "tiny.h5")
    story.write_text("".join(starmap(chapter.format, [("a", first), ("b", "{a}"), ("c", first)])))
    pipeline(story, output=output, hours=1e-9)
    (output / "a").write_text("in its way")
    with pytest.raises(RunError, match=r"Failed: a. Not ended: b. --resume goes on"):
        pipeline(story, output=output, resume=True)
    (output / "a").unlink()
    assert pipeline(story, output=output, resume=True).ended == ("c", "a", "b")


@pytest.mark.slow
def test_where_plan_b_fails_the_chapters_run_all_the_same(place, tmp_path, monkeypatch):
    def diverged(*arguments, **more):
        raise EvaluationError("the loss of update 1 is nan")

    said, module = [], sys.modules["efn_compose.jobs.pipeline.job"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "make_early_submission", diverged)
        with pytest.raises(RunError, match=r"There is no submission\.csv yet"):
            patch.setattr(module._Pipeline, "_run_chapter", diverged)
            pipeline(place / "story.toml", output=tmp_path / "run", quiet=True, say=said.append)
    assert said[0] == "plan B: failed. the loss of update 1 is nan"
    events = [
        line.get("event") for line in read_journal(tmp_path / "run/evaluations.jsonl").records
    ]
    assert events == ["plan B failed", "a chapter failed"]


@pytest.mark.slow
def test_a_dry_run_says_what_each_chapter_reads_and_writes_nothing(place, tmp_path, capsys):
    arguments = ["pipeline", str(place / "story.toml"), "-o", str(tmp_path / "run"), "--dry-run"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "{relative}" in said and "Nothing was written." in said
    assert not (tmp_path / "run").exists()
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["chapter"]: row for row in found["chapters"]}
    assert list(rows) == ["plan_b", "relative", "many", "answer"]
    # Each chapter takes time, and all together as long as the sum says.
    assert all(row["seconds"] > 0 for row in rows.values())
    assert found["seconds"] == pytest.approx(sum(row["seconds"] for row in rows.values()))
    assert rows["many"]["memory_bytes"] > 1e8 and rows["answer"]["disk_bytes"] == 0


def test_the_alarm_interrupts_the_main_thread_and_no_other():
    with pytest.raises(TimeIsUpError), Alarm(0.05 / 3600).interrupting():
        threading.Event().wait(20)
    ended = []

    def work():
        with Alarm(1e-9).interrupting():
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


@pytest.mark.parametrize("clock", [Alarm, Deadline])
@pytest.mark.parametrize("hours", [-1.0, float("nan")])
def test_hours_that_are_none_are_refused(clock, hours):
    with pytest.raises(ConfigError, match="--hours: allowed 0"):
        clock(hours)


def test_the_alarm_waits_for_what_ends_by_itself():
    ended = []
    with pytest.raises(TimeIsUpError):
        alarm = Alarm(0.02 / 3600)
        with alarm.interrupting():
            with alarm.silent():
                time.sleep(0.05)
                ended.append("by itself")
            time.sleep(5)
            ended.append("too late")
    assert ended == ["by itself"]


def test_a_fingerprint_sees_every_file_but_those_that_differ_between_equal_runs(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/weights.h5").write_bytes(b"1")
    before = fingerprint(tmp_path)
    (tmp_path / "lock").write_bytes(b"2")
    (tmp_path / "environment.json").write_bytes(b"2")
    assert fingerprint(tmp_path) == before
    (tmp_path / "a/weights.h5").rename(tmp_path / "a/other.h5")
    assert fingerprint(tmp_path) != before
    assert fingerprint(tmp_path / "none") is None


@pytest.mark.slow
def test_killed_at_random_points_and_resumed_it_ends_the_same(undisturbed, place, tmp_path, chance):
    output = place / "killed"

    def files():
        return sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*"))

    def start():
        # It is begun in one folder, and goes on in another.
        has_begun = (output / "environment.json").is_file()
        home = tmp_path if has_begun else place
        words = ["pipeline", place / "story.toml", "-o", os.path.relpath(output, home), "--quiet"]
        return start_command(*words, *(["--resume"] if has_begun else []), folder=home)

    for _ in range(_KILLS):
        # Not before it has got a step further, and then at any moment.
        before, leg, further = len(files()), start(), chance.randint(1, 12)
        while leg.process.is_alive() and len(files()) < before + further:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        leg.kill()
        print(f"killed with {len(files())} files there, {before} when it began")
    assert start().result().returncode == 0
    for name in FILES:
        assert (output / name).read_bytes() == (undisturbed.folder / name).read_bytes(), name


@pytest.mark.slow
def test_a_converted_network_predicts_at_the_size_that_its_chapter_names(tmp_path):
    random_donor(TINY, 0, classes=4).save(tmp_path / "classifier.h5")
    np.savez(tmp_path / "images.npz", images=np.zeros((5, 16, 16, 3), np.uint8))
    story = f"""
    [fresh]
    verb = "convert"
    convert.file = "{tmp_path}/classifier.h5"
    [last]
    verb = "predict"
    predict.networks = ["{{fresh}}"]
    predict.source = "npz:{tmp_path}/images.npz"
    predict.size = 16
    """
    (tmp_path / "story.toml").write_text(story)
    ended = pipeline(tmp_path / "story.toml", output=tmp_path / "run")
    assert len(ended.submission.read_text().splitlines()) == 1 + 5
