"""Story files: chapters, references, order, and what is wrong with them; no network is built."""

import pytest
from repository import ROOT

from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.jobs.pipeline.chapters import (
    SCHEMAS,
    first_training,
    overrides_of,
    product_kind,
    stand_ins,
    submitting_chapter,
    unread_chapters,
    with_products,
)
from efn_compose.jobs.pipeline.story import Chapter, Reference, read_story

STORY = """
[everywhere]
run.seed = 7
data.size = 24

[answer]
verb = "ensemble"
ensemble.runs = ["{many}"]
data.source = "digits"

[many]
verb = "train"
weights.file = "{larger}"
data.source = "digits"
data.size = 16

[larger]
verb = "nest"
nest.file = "small.h5"
nest.into = "b1"
"""


def read(tmp_path, text, *overrides):
    file = tmp_path / "story.toml"
    file.write_text(text)
    return read_story(file, SCHEMAS, overrides)


def test_chapters_stand_after_those_they_read_whatever_the_files_order(tmp_path):
    story = read(tmp_path, STORY)
    assert [chapter.name for chapter in story.chapters] == ["larger", "many", "answer"]


def test_settings_for_everywhere_reach_the_chapters_that_have_them_and_lose_to_their_own(tmp_path):
    story = read(tmp_path, STORY)
    # A submission has no size of its own; a training's own size wins.
    assert "data.size" not in story["answer"].settings
    assert story["many"].settings["data.size"] == 16
    assert all(chapter.settings["run.seed"] == 7 for chapter in story.chapters)


def test_a_file_from_windows_may_begin_with_a_mark(tmp_path):
    file = tmp_path / "story.toml"
    file.write_bytes(b"\xef\xbb\xbf" + STORY.replace("\n", "\r\n").encode())
    assert read_story(file, SCHEMAS) == read(tmp_path, STORY)


@pytest.mark.parametrize("value", ["1979-05-27", "07:32:00", "[{a = 1}]"])
def test_what_is_no_setting_is_refused_by_name(tmp_path, value):
    text = f'[one]\nverb = "train"\ntrain.epochs = {value}\n'
    with pytest.raises(ConfigError, match=r"- one\.train\.epochs: expected a number"):
        read(tmp_path, text)


@pytest.mark.parametrize("name", ["story", "melanoma"])
def test_stories_of_the_experiments_have_settings_that_their_verbs_know(name):
    story = read_story(ROOT / "experiments" / f"{name}.toml", SCHEMAS)
    assert submitting_chapter(story).verb == "ensemble" and first_training(story).name == "networks"
    for chapter in story.chapters:
        load_config(None, overrides_of(stand_ins(story, chapter)), SCHEMAS[chapter.verb])


def test_a_chapter_that_no_submission_is_made_with_is_named(tmp_path):
    other = "[other]\nverb = 'nest'\nnest.file = '{larger}'\nnest.into = 'b2'\n"
    assert unread_chapters(read(tmp_path, STORY)) == []
    assert unread_chapters(read(tmp_path, STORY + other)) == [
        "No submission is made with what other writes."
    ]
    # A story of weights alone hands on its weights.
    assert unread_chapters(read(tmp_path, other.replace("{larger}", "x.h5"))) == []


def test_overrides_win(tmp_path):
    story = read(tmp_path, STORY, "many.data.size=32", "larger.nest.into=b2")
    assert story["many"].settings["data.size"] == 32
    assert story["larger"].settings["nest.into"] == "b2"


def test_a_story_keeps_its_meaning_when_it_is_written_and_read_again(tmp_path):
    story = read(tmp_path, STORY)
    again = read(tmp_path, story.to_toml())
    assert again.chapters == story.chapters


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no chapter"]),
        ("[a]\nverb = 'train'\nb = ", ["not TOML"]),
        ("seed = 3", ["seed: expected a table"]),
        ("[a]\nx = 1", ["a.verb", "'none'", "evolve"]),
        ("[a]\nverb = 'evolv'", ["a.verb", "'evolv'"]),
        ("[a]\nverb = ['train']", ["a.verb", "['train']"]),
        ("everywhere = 3\n[a]\nverb = 'train'", ["everywhere: expected a table"]),
        ("[A b]", ["not TOML"]),
        ("['A b']\nverb = 'train'", ["small letters"]),
        (
            "[plan_b]\nverb = 'train'\n[lock]\nverb = 'train'",
            ["[plan_b]: the run", "[lock]: the run"],
        ),
        ("[a]\nverb = 'train'\nrun.path = 'x'", ["a.run.path", "-o"]),
        (STORY + "[everywhere.data2]\nx = 1", ["not TOML"]),
        (
            "[everywhere]\ndata.sise = 3\n[a]\nverb = 'train'",
            ["everywhere.data.sise", "no chapter"],
        ),
        (
            "[a]\nverb='train'\nweights.file='{b}'\n[c]\nverb='train'\nweights.file='{d}'",
            [
                "a: weights.file reads {b}, and there is no chapter of that name; there are c",
                "c: weights.file reads {d}",
            ],
        ),
        (
            "[a]\nverb='nest'\nnest.file='{b}'\n[b]\nverb='nest'\nnest.file='{a}'",
            ["a, b wait for each other"],
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    if "data2" in text:
        text = text.replace("[everywhere.data2]\nx = 1", "[many]\nverb = 'train'")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_chapter_with_a_wrong_verb_is_one_problem(tmp_path):
    """What reads it, what is meant for it and what it would read is not wrong as well."""
    text = "[everywhere]\ndata.size = 24\n[a]\nverb='nest'\nnest.file='{b}'\n[b]\nverb='trane'"
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, "b.train.epochs=3")
    found = [line for line in str(caught.value).splitlines() if line.lstrip().startswith("-")]
    assert len(found) == 1 and "b.verb" in found[0] and "'trane'" in found[0]


def test_a_missing_file_and_overrides_without_a_place_are_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_story(tmp_path / "none.toml", SCHEMAS)
    with pytest.raises(
        ConfigError, match=r"(?s)--set size=3: expected.*--set few.data.size=3: no chapter"
    ):
        read(tmp_path, STORY, "size=3", "few.data.size=3")


def test_a_setting_reads_the_kind_of_product_that_it_wants():
    trained = Chapter("many", "train")
    assert product_kind(trained, "ensemble.runs", "") == "run"
    assert product_kind(trained, "weights.file", "") == "weights"
    assert product_kind(trained, "ensemble.runs", "weights") == ""
    assert product_kind(Chapter("a", "ensemble"), "weights.file", "") == ""


def test_references_become_files_in_their_places():
    chapter = Chapter(
        "magic", "evolve", {"donors.files": ["x.h5", "{a}", "{b.weights}"], "run.seed": 1}
    )
    found = with_products(chapter, lambda key, read: [f"{key}/{read.chapter}/{read.product}"])
    assert found == {
        "donors.files": ["x.h5", "donors.files/a/", "donors.files/b/weights"],
        "run.seed": 1,
    }
    assert [str(read) for _, read in chapter.references] == ["{a}", "{b.weights}"]
    assert chapter.references[1] == ("donors.files", Reference("b", "weights"))
