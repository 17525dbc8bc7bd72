"""What chapters were worth, beside the same arithmetic by hand; no network is built."""

import json

import numpy as np
import pytest

from efn_compose.assess.prediction_store import Column, RowTable, StoreWriter
from efn_compose.jobs.pipeline.chapters import SCHEMAS
from efn_compose.jobs.pipeline.story import read_story
from efn_compose.jobs.pipeline.worth import Worth, final_figure, shared_images, worth_of_chapters

STORY = """
[relative]
verb = "pretrain"
weights.file = "small.h5"
unlabelled.source = "u"

[magic]
verb = "evolve"
donors.files = ["small.h5", "{relative}"]
data.source = "l"

[many]
verb = "train"
weights.file = "{magic}"
data.source = "l"

[more]
verb = "train"
weights.file = "{magic}"
data.source = "other"

[answer]
verb = "ensemble"
ensemble.runs = ["{many}", "{more}"]
data.source = "n"
"""


@pytest.fixture
def story(tmp_path):
    file = tmp_path / "story.toml"
    file.write_text(STORY)
    return read_story(file, SCHEMAS)


def write(tmp_path, chapter, **result):
    (tmp_path / chapter).mkdir()
    (tmp_path / chapter / "result.json").write_text(json.dumps(result))


def test_each_training_is_compared_with_the_others_alone(story, tmp_path):
    rng = np.random.default_rng(1)
    labels = np.arange(40) % 2
    rows = RowTable(
        tuple(map(str, range(40))), ("",) * 40, labels, np.arange(40) // 8, ("no", "yes")
    )
    stated = rng.dirichlet([2, 2], (3, 40)).astype(np.float32)
    methods = {"median": {"honest": -0.7, "error": 0.1}}
    write(tmp_path, "answer", measure="loss", written="median", methods=methods)
    with StoreWriter(tmp_path / "answer/predictions", rows) as store:
        for number, home in enumerate(("many", "many", "more")):
            store.add(Column(f"c{number}", source=str(tmp_path / home)), stated[number])
    found = {one.chapter: one for one in worth_of_chapters(story, tmp_path, {"answer": {}})}

    def losses(columns):
        middle = np.median(stated[columns].astype(np.float64), axis=0)
        middle /= middle.sum(axis=1, keepdims=True)
        return -np.log(middle[np.arange(40), labels])

    for name, others in (("many", [2]), ("more", [0, 1])):
        gains = losses(others) - losses([0, 1, 2])
        assert found[name].gain == pytest.approx(gains.mean(), abs=2e-3)
        assert found[name].error == pytest.approx(gains.std(ddof=1) / np.sqrt(40), abs=2e-3)
        assert found[name].scores == pytest.approx(
            (-losses([0, 1, 2]).mean(), -losses(others).mean()), abs=2e-3
        )
    best = min(range(3), key=lambda number: losses([number]).mean())
    assert found["answer"].instead.endswith(f"c{best}")
    gain = (losses([best]) - losses([0, 1, 2])).mean()
    assert found["answer"].gain == pytest.approx(gain, abs=2e-3)
    figure = final_figure(story, tmp_path, {"answer": {}})
    reach = 1.959964 * 0.1 / 0.7
    assert (figure.value, figure.low, figure.high) == pytest.approx(
        (0.7, 0.7 * np.exp(-reach), 0.7 * np.exp(reach))
    )
    assert figure.words == "out of fold, 40 images"
    assert final_figure(story, tmp_path, {}) is None


def arm(validation, test):
    return {"validation_loss": [validation] * 2, "test_loss": test}


def test_pretraining_and_composing_have_judged_themselves(story, tmp_path):
    loss = {"mean": -0.25, "standard_error": 0.1}
    write(tmp_path, "relative", of="v", verdicts={"v": {"differences": {"loss": loss}}})
    arms = {"a": arm(0.4, [0.5, 0.6]), "b": arm(0.5, [0.4, 0.4]), "composed": arm(0.45, [0.3, 0.4])}
    write(tmp_path, "magic", winner="a", best_donor="a", arms=arms)
    found = worth_of_chapters(story, tmp_path, {"relative": {}, "magic": {}})
    assert [(one.chapter, one.gain, one.words) for one in found] == [
        ("relative", 0.25, "pays"),
        # The best donor was written: without the search it would stand there, too.
        ("magic", 0.0, "adds nothing"),
    ]
    assert Worth("magic", "", "", -0.3, 0.1).words == "costs"


@pytest.mark.parametrize("winner", ["latest_state", "trained", "a_sibling1", "composed"])
def test_a_search_is_compared_with_what_it_was_given_and_not_with_what_it_trained(
    story, tmp_path, winner
):
    arms = {"a": arm(0.8, [1.0, 1.2]), "b": arm(0.9, [0.2, 0.3]), winner: arm(0.1, [0.7, 0.8])}
    rival = "trained" if winner == "composed" else winner
    write(tmp_path, "magic", winner=winner, best_donor=rival, arms={**arms, rival: arms[winner]})
    (found,) = worth_of_chapters(story, tmp_path, {"magic": {}})
    assert found.instead == "the best donor, a"
    # Seed by seed it gains 0.3 and 0.4.
    assert (found.gain, found.error) == pytest.approx((0.35, 0.05))
    assert found.words == "pays"


def test_a_search_that_has_seen_the_labels_of_the_folds_is_named(story):
    (note,) = shared_images(story)
    # The other training has images of its own.
    assert note.startswith(
        "What magic wrote was chosen by labels of the images that also judge many. Their"
    )
