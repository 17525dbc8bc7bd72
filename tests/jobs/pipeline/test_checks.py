"""What would stop a chapter later, said before the first one; no network is built."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from random_donors import TINY, random_donor
from tiny_story import write_story

from efn_compose.errors import ConfigError
from efn_compose.evolve.verdict.verdict import is_reserved
from efn_compose.jobs.donor_entries import load_entry
from efn_compose.jobs.pipeline.chapters import CHAPTER_VERBS
from efn_compose.jobs.pipeline.estimate import estimate_time
from efn_compose.jobs.pipeline.job import _Pipeline, prepare_pipeline
from efn_compose.jobs.pipeline.story import Reference

SEARCH = """
[magic]
verb = "evolve"
donors.files = ["{relative}"]
donors.siblings = 2
data.source = "digits"
"""
MORE = """
[more]
verb = "train"
weights.file = "{place}/tiny.h5"
data.source = "npz:{place}/images.npz"
validation.folds = 2
"""
_IMAGES = {
    "evolve": 'data.source = "digits"\n',
    "pretrain": 'unlabelled.source = "digits"\nlabelled.source = ""\n',
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checks")
    write_story(folder)
    return folder


@pytest.fixture
def refusal(place, tmp_path):
    """Return what is said of a story with other words in places of some, and that nothing was written."""

    def say(*changes, more="", overrides=()):
        text = (place / "story.toml").read_text() + more.replace("{place}", str(place))
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "wrong.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            prepare_pipeline(file, overrides, tmp_path / "run")
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    return say


def test_everything_wrong_with_all_chapters_is_said_at_once(refusal):
    words = refusal(
        ("{relative}", "{answer}"), ("{many}", "{relative}"),
        ("pretrain.epochs = 1", "pretrain.epochs = -1"),
    )  # fmt: skip
    assert "[relative]: pretrain.epochs" in words
    assert "many: weights.file reads weights, and {answer} is none" in words
    assert "answer: ensemble.runs reads run, and {relative} is none" in words


def test_a_wrong_setting_is_named_with_the_file_and_the_table_that_it_stands_in(refusal, tmp_path):
    words = refusal(
        ("pretrain.epochs = 1", "pretrain.epochs = -1\npretrain.epochz = 1"),
        ("run.seed = 3", "run.seed = -3"),
        overrides=["many.train.batch_size=few"],
    )
    summary, *lines, _ = (line.strip() for line in words.splitlines())
    assert summary.startswith(f"{tmp_path / 'wrong.toml'}: 4 problems")
    # What all chapters read of one place is said once.
    assert sorted(" ".join(line.split()[:4]).rstrip(":") for line in lines) == [
        "- --set many: train.batch_size",
        "- [everywhere]: run.seed: allowed",
        "- [relative]: pretrain.epochs: allowed",
        "- [relative]: pretrain.epochz is",
    ]


def test_chapters_that_name_no_weights_or_no_images_are_refused(refusal, place):
    words = refusal(
        ('weights.file = "{relative}"\n', ""), (f'unlabelled.source = "npz:{place}/images.npz"', ""),
        ('ensemble.runs = ["{many}"]\n', ""), more="[asked]\nverb = 'predict'\n",
    )  # fmt: skip
    assert [line.split(" is empty.")[0].strip() for line in words.splitlines()[1:-1]] == [
        "- [relative]: unlabelled.source",
        "- [many]: weights.file",
        "- [answer]: ensemble.runs",
        "- [asked]: predict.networks",
        "- [asked]: predict.source",
    ]


def test_a_product_that_no_chapter_writes_is_named_with_those_it_writes(refusal):
    words = refusal(("{relative}", "{relative.wieghts}"))
    assert "{relative.wieghts} is none: relative (pretrain) writes weights" in words


def test_files_and_images_that_are_not_there_are_named_with_where_they_are_looked_for(
    refusal, place, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = refusal((f"{place}/tiny.h5", "none.h5"), (f"{place}/new.csv", "old.csv"))
    pattern = r"(?s)relative: weights.file: .*none.h5.*answer: data.source: .*old.csv"
    assert re.search(pattern, words) and f"paths are seen from {tmp_path}" in words


@pytest.mark.parametrize(
    ("verb", "key"), [("evolve", "donors.files"), ("pretrain", "weights.file")]
)
def test_weights_that_will_have_group_norm_are_refused_where_batch_norm_is_needed(
    refusal, verb, key
):
    value = '["{many}"]' if verb == "evolve" else '"{many}"'
    later = f'[later]\nverb = "{verb}"\n{key} = {value}\n{_IMAGES[verb]}'
    words = refusal(more=later, overrides=["many.train.normalisation=group"])
    assert re.search(f"later: {key}: .many. has GroupNorm, and a .* needs", words)
    # Of BatchNorm nothing is said.
    other = refusal(more=later, overrides=["many.validation.folds=13"])
    assert "cannot be cut" in other and "Norm" not in other


def test_a_submission_about_patients_whose_labels_are_known_is_refused(refusal, place, tmp_path):
    from PIL import Image

    for name, patients in (("train", "abcd"), ("new", "dxyz"), ("any", "xy")):
        rows = ["image,label,patient"]
        for number, patient in enumerate(patients):
            Image.new("RGB", (16, 16), (60 * number, 0, 0)).save(tmp_path / f"{name}{number}.png")
            rows.append(f"{name}{number}.png,{'no' if number % 2 else 'yes'},patient-{patient}")
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    train = f"csv:{tmp_path}/train.csv"
    words = refusal(
        (f'data.source = "npz:{place}/images.npz"', f'data.source = "{train}"'),
        (f'unlabelled.source = "npz:{place}/images.npz"',
         f'unlabelled.source = "csv:{tmp_path}/any.csv"\nlabelled.source = "{train}"'),
        (f"csv:{place}/new.csv", f"csv:{tmp_path}/new.csv"),
        ('data.columns = ["image=isic_id"]', ""),
    )  # fmt: skip
    # Pretraining sees images of x and y without their labels, and labels of d.
    assert words.count("of its patients") == 1
    assert (
        f"answer: 1 of its patients are also in {train}, whose labels many, relative learn: patient-d."
    ) in words


def test_an_unknown_network_is_named_once_also_where_later_chapters_read_it(refusal):
    more = '[large]\nverb = "nest"\nnest.file = "{relative}"\nnest.into = "b99"\n'
    words = refusal(('weights.file = "{relative}"', 'weights.file = "{large}"'), more=more)
    assert (
        words.count("b99") == 1
        and "large: " in words
        and ": 1 problem; nothing was written" in words
    )


def test_images_that_cannot_be_cut_into_a_chapters_folds_are_named(refusal):
    # Of each of four classes there are twelve images.
    words = refusal(overrides=["many.validation.folds=13"])
    assert re.search(r"many: .*cannot be cut into 13 folds", words)


def test_images_that_a_search_cannot_split_or_that_have_no_label_are_named(refusal, place):
    # There are 1,797 digits.
    words = refusal(more=SEARCH, overrides=["magic.data.train_images=1790"])
    assert re.search(r"magic: .*cannot be split as asked", words)
    np.savez(place / "unlabelled.npz", images=np.zeros((20, 16, 16, 3), np.uint8))
    judging = f"relative.labelled.source=npz:{place}/unlabelled.npz"
    assert re.search(r"relative: .*20 of 20 images have no label", refusal(overrides=[judging]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("more.validation.folds=3", "answer: many and more have other folds"),
        ("more.run.seed=4", "answer: many and more have other folds"),
        ("more.validation.folds=1", "answer: more has one fold"),
    ],
)
def test_trainings_that_make_no_ensemble_are_named(refusal, change, said):
    words = refusal(('["{many}"]', '["{many}", "{more}"]'), more=MORE, overrides=[change])
    assert said in words


def test_what_a_verb_would_refuse_later_is_refused_before_the_first_chapter(refusal, place):
    (place / "template.csv").write_text("id,a\nnobody,0\n")
    for overrides, said in (
        (["many.objective.kind=segment"], "answer: ensemble.runs reads {many}, which learns masks"),
        (["many.tta.views=flip", "many.tta.merge=rank"], "whose answers are ranks"),
        (["answer.ensemble.method=rank_mean"], "answer: ensemble.method = 'rank_mean'"),
        (["answer.stack.portfolio=none.toml"], "answer: none.toml: no portfolio there"),
        (["answer.stack.portfolio=default", "answer.stack.table=none.csv"], "answer: none.csv:"),
        ([f"answer.ensemble.template={place}/template.csv"], "id has no image, such as nobody"),
        (["answer.ensemble.against=none"], "answer: none: no finished ensemble"),
        (["many.validation.file=none.csv"], "many: none.csv: no such file"),
        (["many.semi.method=noisy-student"], "many: semi.method = 'noisy-student'"),
        (["many.train.optimizer=adamm"], "many: train.optimizer: allowed"),
        (
            ["many.augment.grid=0.5", "many.augment.grid_cells=7"],
            "many: augment.grid_cells = 7 must",
        ),
        (["relative.pretrain.batch_size=64"], "relative: 48 unlabelled images do not fill"),
        (["relative.pretrain.positives=patient"], "names no patients"),
        (["relative.pretrain.methods=cyclegan"], "has the classes 0, 1, 2, 3. Name two"),
    ):
        words = refusal(overrides=overrides)
        assert said in words and ": 1 problem; nothing was written" in words, words
    words = refusal(
        more=SEARCH + '[last]\nverb = "predict"\npredict.source = "digits"\n'
        'predict.networks = ["{magic}"]\n',
        overrides=["magic.donors.siblings=0"],
    )
    assert "magic: donors.files names one donor and donors.siblings is 0" in words
    assert "last: predict.networks reads {magic}, whose weights have no classifier" in words
    # A search that trains writes a classifier with what it trained, and none with a donor.
    words = refusal(
        more=SEARCH + '[last]\nverb = "predict"\npredict.source = "digits"\n'
        'predict.networks = ["{magic}"]\n',
        overrides=["magic.search.kind=halving"],
    )
    assert "whose weights may have no classifier, if a donor is written" in words


FRESH = """
[fresh]
verb = "convert"
convert.file = "{place}/classifier.h5"
[last]
verb = "predict"
predict.networks = ["{fresh}"]
predict.source = "npz:{place}/images.npz"
"""


@pytest.mark.parametrize(
    ("file", "overrides", "said"),
    [
        ("classifier.h5", [], "nobody wrote down its image size"),
        ("classifier.h5", ["last.predict.size=7"], "size: allowed 8 or more pixels. Received: 7"),
        ("tiny.h5", ["last.predict.size=16"], "it has no classifier"),
    ],
)
def test_a_converted_network_that_cannot_answer_is_refused(place, refusal, file, overrides, said):
    random_donor(TINY, 0, classes=4).save(place / "classifier.h5")
    words = refusal(more=FRESH.replace("classifier.h5", file), overrides=overrides)
    assert "last: predict.networks reads {fresh}" in words
    assert said in words and ": 1 problem; nothing was written" in words


def test_trainings_of_equal_folds_make_an_ensemble(place, tmp_path):
    story = tmp_path / "story.toml"
    text = (place / "story.toml").read_text() + MORE.format(place=place)
    story.write_text(text.replace('["{many}"]', '["{many}", "{more}"]'))
    assert "more" in prepare_pipeline(story, (), tmp_path / "run").checked.work


def test_a_story_goes_on_with_other_workers_and_not_with_other_settings(place, tmp_path):
    def identity(*overrides):
        return prepare_pipeline(place / "story.toml", overrides, tmp_path).identity

    assert identity("many.executor.kind=ray", "many.executor.workers=3") == identity()
    assert identity("many.train.epochs=7") != identity()


def test_a_search_in_this_process_is_known_before_any_chapter_takes_its_threads(place, tmp_path):
    assert prepare_pipeline(place / "story.toml", (), tmp_path).checked.search_device == ""
    story = tmp_path / "search.toml"
    story.write_text((place / "story.toml").read_text() + SEARCH)
    assert prepare_pipeline(story, (), tmp_path).checked.search_device == "cpu"
    in_ray = ["magic.executor.kind=ray"]
    assert prepare_pipeline(story, in_ray, tmp_path).checked.search_device == ""


def test_a_full_disk_is_named_unless_the_run_itself_has_filled_it(
    refusal, place, tmp_path, monkeypatch
):
    monkeypatch.setattr("efn_compose.jobs.pipeline.checks.whole.free_bytes", lambda folder: 1000)
    assert re.search(r"disk: the chapters write about .* are free", refusal())
    # An interrupted run has written most of it.
    (tmp_path / "begun/many").mkdir(parents=True)
    with (tmp_path / "begun/many/last.h5").open("wb") as file:
        file.truncate(10**9)
    assert prepare_pipeline(place / "story.toml", (), tmp_path / "begun").checked.work


def test_a_dry_run_without_the_gpu_of_its_chapters_says_that_no_time_is_known(place):
    prepared = prepare_pipeline(place / "story.toml", ["many.executor.device=gpu"], place / "none")
    assert prepared.checked.work["many"].device == "gpu"
    found = estimate_time(prepared.checked.work)
    assert not found.seconds and "GPU" in found.words


def test_a_donor_may_not_be_called_as_what_a_search_makes_but_a_chapter_may(
    refusal, place, tmp_path
):
    first = f'"composed={place}/tiny.h5"'
    search = SEARCH.replace("donors.files = [", f"donors.files = [{first}, ")
    assert "magic: donors.files: 'composed' is the name of something" in refusal(more=search)
    file = tmp_path / "story.toml"
    text = (place / "story.toml").read_text() + SEARCH
    file.write_text(text.replace("relative", "composed"))
    story = prepare_pipeline(file, (), tmp_path / "run").story
    products = {"weights": "tiny.h5"}
    begun = SimpleNamespace(
        story=story, place=place, outcome=SimpleNamespace(done={"composed": {"products": products}})
    )
    (entry,) = _Pipeline._files(begun, "donors.files", Reference("composed"))
    assert load_entry(entry, is_reserved).name == "composed_2"


@pytest.mark.parametrize(
    ("asked", "stack", "is_whole"),
    [
        (4, None, True),
        (3, None, False),
        (4, {"not_fitted": 0}, True),
        (4, {"not_fitted": 2}, False),
    ],
)
def test_an_ensemble_has_ended_when_networks_and_models_have(monkeypatch, asked, stack, is_whole):
    row = SimpleNamespace(name="median", honest=-0.5, error=0.1)
    result = SimpleNamespace(
        methods=[row], verdict=SimpleNamespace(winner="median"), measure="loss", asked=asked,
        networks=4, stack=stack,
    )  # fmt: skip
    ended = SimpleNamespace(result=result, submission="submission.csv", plan_b="plan_b.csv")
    monkeypatch.setattr("efn_compose.jobs.ensembles.job.ensemble", lambda *_, **__: ended)
    assert CHAPTER_VERBS["ensemble"].run([], False, True).is_whole == is_whole
