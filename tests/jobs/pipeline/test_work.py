"""The work of chapters, counted by hand; no network is built."""

from dataclasses import replace

import pytest

from efn_compose.arch import arch_spec
from efn_compose.config import load_config
from efn_compose.jobs.memory_plan import Machine
from efn_compose.jobs.pipeline.chapters import SCHEMAS, overrides_of, stand_ins
from efn_compose.jobs.pipeline.checks.networks import impossible_nestings
from efn_compose.jobs.pipeline.story import Story, read_story
from efn_compose.jobs.pipeline.work import Counted

STORY = """
[everywhere]
data.size = 48
executor.workers = 2

[relative]
verb = "pretrain"
weights.file = "small"
unlabelled.source = "u"
labelled.source = "l"
labelled.seeds = 3
labelled.epochs = 4
pretrain.methods = ["vicreg", "rotation"]
pretrain.seeds = 2
pretrain.epochs = 5

[magic]
verb = "evolve"
donors.files = ["small", "{relative}"]
donors.variant = "lite1"
data.source = "l"
search.kind = "random"
random.population = 6
random.generations = 0
fitness.epochs = 0.5
finals.noise_repeats = 0

[larger]
verb = "nest"
nest.file = "{magic}"
nest.into = "lite2"

[many]
verb = "train"
weights.file = "{larger}"
data.source = "l"
validation.folds = 4
validation.seeds = 2
train.epochs = 3

[answer]
verb = "ensemble"
ensemble.runs = ["{many}"]
ensemble.tta = 2
data.source = "n"
"""
IMAGES = {
    "relative unlabelled.source": 900, "relative labelled.source": 100, "magic data.source": 100,
    "many data.source": 100, "answer data.source": 50,
}  # fmt: skip


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    file = tmp_path_factory.mktemp("work") / "story.toml"
    file.write_text(STORY)
    story = read_story(file, SCHEMAS)
    configs = {
        chapter.name: load_config(
            None, overrides_of(stand_ins(story, chapter)), SCHEMAS[chapter.verb]
        )
        for chapter in story.chapters
    }
    specs = {"small": arch_spec("lite0")}
    return Counted(story, configs, specs, IMAGES, Machine(10**11, 10**11))


def test_passes_of_each_verb_by_hand(counted):
    work = {chapter.name: counted.work(chapter) for chapter in counted.story.chapters}
    learnt, judged = work["relative"].loads
    # Two views of the one method, one of the other; two seeds, five epochs, 900 images.
    assert learnt.updates == (2 + 1) * 2 * 5 * 900
    # Four pretrainings and the absorbed donor, three seeds, four epochs on half of 100 images.
    assert judged.updates == 5 * 3 * 4 * 50
    (search,) = work["magic"].loads
    assert search.spec.variant == "lite1"
    # Half an epoch on 60 images, and statistics of 60 and scores of 20, however many evaluations.
    assert search.updates / search.passes == pytest.approx(30 / 80)
    (trained,) = work["many"].loads
    assert trained.updates == 4 * 2 * 3 * 75 and trained.passes == 4 * 2 * 3 * 100
    (asked,) = work["answer"].loads
    assert (asked.updates, asked.passes, asked.builds) == (0, 2 * 50 * 8, 1)


def test_weights_that_are_not_there_yet_have_the_network_that_they_will_have(counted):
    found = {chapter.name: counted.networks(chapter)[0].variant for chapter in counted.story.chapters
             if chapter.verb != "ensemble"}  # fmt: skip
    assert found == {"relative": "lite0", "magic": "lite1", "larger": "lite2", "many": "lite2"}
    assert counted.early().loads[0].spec.variant == "lite0"


@pytest.mark.parametrize(
    ("chapter", "settings", "said"),
    [
        # Lite1, which comes out of the search, is larger than Lite0.
        ("larger", {"nest.into": "lite0"}, "larger: lite1 (family"),
        ("many", {"weights.variants": ["lite2", "lite1"]}, "many: lite2 cannot be nested into lite1"),
        ("magic", {"donors.variant": "b1"}, "magic: lite0"),
        ("magic", {"donors.files": ["small", "large"], "donors.variant": ""},
         "magic: donors.files are of different networks: lite0, lite4"),
    ],
)  # fmt: skip
def test_networks_that_do_not_hold_those_before_them_are_named(counted, chapter, settings, said):
    assert list(impossible_nestings(counted)) == []
    changed = replace(
        counted.story[chapter], settings={**counted.story[chapter].settings, **settings}
    )
    chapters = tuple(changed if one.name == chapter else one for one in counted.story.chapters)
    story = Story("story", chapters)
    config = load_config(None, overrides_of(stand_ins(story, changed)), SCHEMAS[changed.verb])
    specs = counted.specs | {"large": arch_spec("lite4")}
    wrong = replace(counted, story=story, configs={**counted.configs, chapter: config}, specs=specs)
    assert said in next(impossible_nestings(wrong))


def test_memory_that_is_not_there_is_named_with_its_chapter(counted):
    small = Counted(counted.story, counted.configs, counted.specs, IMAGES, Machine(10**8, 10**11))
    with pytest.raises(Exception, match="many: The run does not fit on this machine"):
        small.work(small.story["many"])
