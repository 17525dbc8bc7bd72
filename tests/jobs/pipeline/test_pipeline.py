"""`efn-compose pipeline` as a person runs it, on a network of two blocks."""

import csv
import json
import shutil
import threading
import time

import numpy as np
import pytest
from forked_commands import start_command
from tiny_recipe import quarters, tiny_donor
from traced_trainers import share_trainers

from efn_compose.assess.out_of_fold import read_predictions
from efn_compose.assess.out_of_fold.file import find_predictions
from efn_compose.cli import main
from efn_compose.errors import ConfigError, ResumeMismatchError, RunError
from efn_compose.jobs.pipeline.alarm import Alarm, TimeIsUpError
from efn_compose.jobs.pipeline.estimate import estimate_time
from efn_compose.jobs.pipeline.job import pipeline, prepare_pipeline
from efn_compose.jobs.pipeline.products import fingerprint
from efn_compose.store import read_journal

STORY = """
[everywhere]
data.size = 16
executor.kind = "serial"
run.seed = 3

[relative]
verb = "pretrain"
weights.file = "{place}/tiny.h5"
unlabelled.source = "npz:{place}/images.npz"
unlabelled.size = 16
pretrain.methods = ["simclr"]
pretrain.epochs = 1
pretrain.batch_size = 16

[many]
verb = "train"
weights.file = "{{relative}}"
data.source = "npz:{place}/images.npz"
validation.folds = 2
train.epochs = 2
train.learning_rate = 0.02

[answer]
verb = "ensemble"
ensemble.runs = ["{{many}}"]
ensemble.measure = "accuracy"
data.source = "npz:{place}/new.npz"
"""
#: Each takes seconds; experiments/results/story.md has five.
_KILLS = 1
_IMAGES = {
    "evolve": 'data.source = "digits"\n',
    "pretrain": 'unlabelled.source = "digits"\nlabelled.source = ""\n',
}
FILES = ("submission.csv", "plan_b.csv", "relative/last.h5", "answer/plan_b.csv")


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    tiny_donor().replace(provenance={}).save(folder / "tiny.h5")
    images, labels = quarters(48)
    np.savez(folder / "images.npz", images=images, labels=labels)
    np.savez(folder / "new.npz", images=quarters(20, seed=9)[0])
    (folder / "story.toml").write_text(STORY.format(place=folder))
    return folder


@pytest.fixture(scope="module", autouse=True)
def traced():
    """One trainer for all stages of one network and recipe; each of them starts from nothing."""
    with pytest.MonkeyPatch.context() as patch:
        share_trainers(patch, {})
        yield


@pytest.fixture(scope="module")
def undisturbed(place):
    return pipeline(place / "story.toml", output=place / "undisturbed", quiet=True)


@pytest.mark.slow
def test_a_story_ends_with_a_submission_and_a_page_that_links_its_stages(undisturbed, place):
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
    assert 'href="relative/report.html"' in page
    result = read_json(folder / "answer/result.json")
    assert undisturbed.words.startswith(f"The {result['written']} of 1 column is submitted")
    # The whole chain against plan B, on the images that plan B was not trained on.
    (whole,) = [
        row for row in read_json(folder / "result.json")["worth"] if row["stage"] == "all stages"
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
    # What a stage wrote is what the next one read.
    donors = [
        read_json(folder / name / "environment.json")["identity"]["donors"]
        for name in ("many", "plan_b/train")
    ]
    assert donors[0] != donors[1]


@pytest.mark.slow
def test_a_pipeline_that_is_stopped_between_stages_ends_the_same(undisturbed, place):
    output = place / "stopped"
    # As it is when the process dies after plan B: later files and lines are not there yet.
    shutil.copytree(undisturbed.folder, output)
    lines = (output / "evaluations.jsonl").read_text().splitlines(keepends=True)
    (output / "evaluations.jsonl").write_text("")
    for name in ("many", "answer"):
        shutil.rmtree(output / name)
    relative = (output / "relative").rename(place / "relative of later")
    for name in ("submission.csv", "plan_b.csv"):
        shutil.copy(output / "plan_b/predictions.csv", output / name)
    (output / "result.json").unlink()
    # The end of the time comes before the first stage.
    first = pipeline(place / "story.toml", output=output, resume=True, hours=1e-9, quiet=True)
    assert first.ended == () and "submission.csv is plan B" in first.words
    assert first.submission.read_bytes() == (output / "plan_b.csv").read_bytes()
    # The first stage ends, and the time is up before the second one.
    relative.rename(output / "relative")
    with (output / "evaluations.jsonl").open("a") as journal:
        journal.write(lines[0])
    said = []
    last = pipeline(place / "story.toml", output=output, resume=True, quiet=True, say=said.append)
    assert last.left == ()
    # What had ended was not run again.
    assert [words for words in said if words.startswith(("relative", "plan B"))] == []
    for name in FILES:
        assert (output / name).read_bytes() == (undisturbed.folder / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_pipeline_computes_nothing_and_notices_what_was_changed(undisturbed, place):
    folder = place / "changed"
    shutil.copytree(undisturbed.folder, folder)
    lines = len(read_journal(folder / "evaluations.jsonl").records)
    assert pipeline(place / "story.toml", output=folder, resume=True, quiet=True).left == ()
    assert len(read_journal(folder / "evaluations.jsonl").records) == lines
    weights = folder / "relative/last.h5"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match="weights of stage relative is not what the stage wrote"):
        pipeline(place / "story.toml", output=folder, resume=True)
    weights.unlink()
    with pytest.raises(RunError, match="weights of stage relative is missing"):
        pipeline(place / "story.toml", output=folder, resume=True)
    weights.write_bytes(content)
    with pytest.raises(ResumeMismatchError, match=r"many.train.epochs"):
        pipeline(place / "story.toml", ["many.train.epochs=3"], output=folder, resume=True)


def test_everything_wrong_with_all_stages_is_said_before_the_first(place, tmp_path):
    story = tmp_path / "wrong.toml"
    text = STORY.format(place=place)
    text = text.replace("{relative}", "{answer}").replace("{many}", "{relative}")
    story.write_text(text.replace("pretrain.epochs = 1", "pretrain.epochs = -1"))
    with pytest.raises(ConfigError) as caught:
        prepare_pipeline(story, (), tmp_path / "run")
    words = str(caught.value)
    assert "relative: " in words and "pretrain.epochs" in words
    assert "many: weights.file reads weights, and {answer} is none" in words
    assert "answer: ensemble.runs reads run, and {relative} is none" in words
    assert not (tmp_path / "run").exists()


def test_files_and_images_that_are_not_there_are_named_before_the_first_stage(place, tmp_path):
    story = tmp_path / "wrong.toml"
    text = STORY.format(place=place)
    story.write_text(text.replace("tiny.h5", "none.h5").replace("new.npz", "old.npz"))
    with pytest.raises(
        ConfigError, match=r"(?s)relative: weights.file: .*none.h5.*answer: data.source: .*old.npz"
    ):
        prepare_pipeline(story, (), tmp_path / "run")


@pytest.mark.parametrize(
    ("verb", "key"), [("evolve", "donors.files"), ("pretrain", "weights.file")]
)
def test_weights_that_will_have_group_norm_are_refused_where_batch_norm_is_needed(
    place, tmp_path, verb, key
):
    value = '["{many}"]' if verb == "evolve" else '"{many}"'
    story = tmp_path / "story.toml"
    later = f'[later]\nverb = "{verb}"\n{key} = {value}\n{_IMAGES[verb]}'
    story.write_text(STORY.format(place=place) + later)
    prepare_pipeline(story, (), tmp_path / "run")
    with pytest.raises(ConfigError, match=f"later: {key}: .many. has GroupNorm, and a .* needs"):
        prepare_pipeline(story, ["many.train.normalisation=group"], tmp_path / "run")


def test_a_submission_about_patients_that_were_trained_on_is_refused(place, tmp_path):
    from PIL import Image

    for name, patients in (("train", "abcd"), ("new", "dxyz")):
        rows = ["image,label,patient"]
        for number, patient in enumerate(patients):
            Image.new("RGB", (16, 16), (60 * number, 0, 0)).save(tmp_path / f"{name}{number}.png")
            rows.append(f"{name}{number}.png,{'no' if number % 2 else 'yes'},patient-{patient}")
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    story = tmp_path / "shared.toml"
    text = STORY.format(place=place).replace(
        f'data.source = "npz:{place}/images.npz"', f'data.source = "csv:{tmp_path}/train.csv"'
    )
    story.write_text(text.replace(f"npz:{place}/new.npz", f"csv:{tmp_path}/new.csv"))
    with pytest.raises(
        ConfigError, match=r"answer: 1 of its patients are trained on by many: patient-d"
    ):
        prepare_pipeline(story, (), tmp_path / "run")


def test_images_that_cannot_be_cut_into_a_stages_folds_are_named_before_the_first(place):
    # Of each of four classes there are twelve images.
    with pytest.raises(ConfigError, match=r"many: .*cannot be cut into 13 folds"):
        prepare_pipeline(place / "story.toml", ["many.validation.folds=13"], place / "none")


def test_a_search_in_this_process_is_known_before_any_stage_takes_its_threads(place, tmp_path):
    assert prepare_pipeline(place / "story.toml", (), tmp_path).checked.search_device == ""
    story = tmp_path / "search.toml"
    search = '[magic]\nverb = "evolve"\ndonors.files = ["{relative}"]\ndata.source = "digits"\n'
    story.write_text(STORY.format(place=place) + search)
    assert prepare_pipeline(story, (), tmp_path).checked.search_device == "cpu"
    in_ray = ["magic.executor.kind=ray"]
    assert prepare_pipeline(story, in_ray, tmp_path).checked.search_device == ""


def test_a_full_disk_is_named_before_the_first_stage(place, tmp_path, monkeypatch):
    monkeypatch.setattr("efn_compose.jobs.pipeline.checks.room_for", lambda folder: 1000)
    with pytest.raises(ConfigError, match=r"disk: the stages write about .* are free"):
        prepare_pipeline(place / "story.toml", (), tmp_path / "run")


@pytest.mark.slow
def test_a_dry_run_says_what_each_stage_reads_and_writes_nothing(place, tmp_path, capsys):
    arguments = ["pipeline", str(place / "story.toml"), "-o", str(tmp_path / "run"), "--dry-run"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "{relative}" in said and "Nothing was written." in said
    assert not (tmp_path / "run").exists()
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["stage"]: row for row in found["stages"]}
    assert list(rows) == ["plan_b", "relative", "many", "answer"]
    # Each stage takes time, and all together as long as the sum says.
    assert all(row["seconds"] > 0 for row in rows.values())
    assert found["seconds"] == pytest.approx(sum(row["seconds"] for row in rows.values()))
    assert rows["many"]["memory_bytes"] > 1e8 and rows["answer"]["disk_bytes"] == 0


def test_a_dry_run_without_the_gpu_of_its_stages_says_that_no_time_is_known(place):
    prepared = prepare_pipeline(place / "story.toml", ["many.executor.device=gpu"], place / "none")
    assert prepared.checked.work["many"].device == "gpu"
    found = estimate_time(prepared.checked.work)
    assert not found.seconds and "GPU" in found.words


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
def test_killed_at_random_points_and_resumed_it_ends_the_same(undisturbed, place, chance):
    output = place / "killed"
    words = ["pipeline", str(place / "story.toml"), "-o", str(output), "--quiet"]

    def files():
        return sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*"))

    def start():
        has_begun = (output / "environment.json").is_file()
        return start_command(*words, *(["--resume"] if has_begun else []))

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
