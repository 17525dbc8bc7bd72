"""Jobs say where the images that judge have trained or chosen the weights that are judged."""

import shutil

import numpy as np
import pytest
from nano_run import write_nano_experiment
from random_donors import TINY, random_donor
from tiny_recipe import quarters, tiny_donor
from tiny_runs import train_tiny

from efn_compose.data import load_data
from efn_compose.data.identity import image_marks
from efn_compose.data.options import DataOptions
from efn_compose.data.sources import load_table
from efn_compose.donors import load_donor
from efn_compose.donors.seen_images import SeenImages, seen_by, with_seen
from efn_compose.errors import ConfigError
from efn_compose.jobs.ensembles.stacking.pooled import check_unseen, load_bodies
from efn_compose.jobs.policies.preparation import prepare_policy
from efn_compose.jobs.search.job import evolve
from efn_compose.jobs.search.preparation import prepare
from efn_compose.jobs.soup.preparation import prepare_soup
from efn_compose.jobs.study.preparation import prepare_study
from efn_compose.jobs.trainings.answers import read_answers
from efn_compose.jobs.trainings.preparation import prepare_trainings
from efn_compose.store import WeightFile

pytestmark = pytest.mark.slow
SAID = "Labels of these images have trained or chosen the weights"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of two networks, each trained on one half of 64 images."""
    folder = tmp_path_factory.mktemp("seen")
    tiny_donor().save(folder / "tiny.h5")
    for name, seed in (("images", 0), ("others", 9)):
        images, labels = quarters(64, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    train_tiny(folder, "run", "images.npz", validation__folds=2)
    return folder


def weights(place, fold):
    return place / "run" / "trainings" / f"b-tiny_fold{fold}_seed1" / "last.h5"


def doubts(notes):
    return [note for note in notes if note.startswith(SAID)]


def test_a_training_writes_down_the_images_that_it_did_not_leave_out(place):
    images, _ = quarters(64)
    for fold in (0, 1):
        (seen,) = seen_by(load_donor(weights(place, fold)).provenance)
        left_out, _ = read_answers(weights(place, fold).parent)
        kept = np.setdiff1d(np.arange(64), left_out)
        assert seen.images == 32 and seen.looked_up(image_marks(images)[kept]) == (32, 32)
        assert seen.looked_up(image_marks(images)[left_out]) == (0, 32)


@pytest.mark.parametrize(("source", "is_said"), [("images", True), ("others", False)])
def test_a_training_that_begins_at_weights_of_its_images_says_so(place, source, is_said):
    values = {"weights.file": weights(place, 0), "data.source": f"npz:{place / source}.npz"}
    values |= {"data.size": 24, "validation.folds": 4, "run.path": place / "next"}
    prepared = prepare_trainings(None, [f"{key}={value}" for key, value in values.items()])
    found = doubts(prepared.images.notes)
    assert bool(found) == is_said
    assert not is_said or "last from about 50% of the validation images" in found[0]


def test_a_soup_of_networks_of_both_halves_says_so_of_both(place):
    files = [f"{name}={weights(place, fold)}" for fold, name in enumerate(("a", "b"))]
    for source, count in (("images", 1), ("others", 0)):
        options = DataOptions(f"npz:{place / source}.npz", size=16)
        assert len(doubts(prepare_soup(files, data=options).notes)) == count
    data = load_data(DataOptions(f"npz:{place / 'images'}.npz", size=16), 0)
    (words,) = doubts(prepare_soup(files, data=data).notes)
    for fold, name in enumerate("ab"):
        seen = seen_by(load_donor(weights(place, fold)).provenance)[0]
        known, asked = seen.looked_up(data.marks["test"])
        assert f"about {known / asked:.0%} of the test images" in words and f"{name} from" in words


def test_a_policy_is_not_judged_by_networks_whose_first_weights_knew_its_images(place):
    train_tiny(place, "again", "images.npz", weights__file=weights(place, 0), validation__folds=2)
    with pytest.raises(ConfigError, match="learnt from labels of about 50% of these images"):
        prepare_policy(None, [f"policy.networks={place / 'again'}"])
    train_tiny(place, "fresh", "others.npz", weights__file=weights(place, 0), validation__folds=2)
    assert prepare_policy(None, [f"policy.networks={place / 'fresh'}"]).networks


def test_a_study_names_the_network_that_knows_its_images(place):
    values = {"study.weights": [str(place / "tiny.h5"), str(weights(place, 0))]}
    values |= {"data.source": f"npz:{place / 'images.npz'}", "data.size": 16, "train.epochs": 1}
    words = [f"{key}={value}" for key, value in values.items()]
    (said,) = doubts(prepare_study(None, [*words, f"run.path={place / 'study'}"]).warnings)
    assert "last from" in said and "tiny" not in said


def test_features_of_a_copied_network_that_knows_the_rows_are_refused(place, tmp_path):
    shutil.copyfile(weights(place, 0), tmp_path / "copied.h5")
    bodies = load_bodies(
        [str(tmp_path / "copied.h5"), str(place / "tiny.h5")], [str(place / "run")]
    )
    check_unseen(bodies, load_table(f"npz:{place / 'others.npz'}"))
    with pytest.raises(
        ConfigError, match="copied: it has learnt from labels of about 50%"
    ) as caught:
        check_unseen(bodies, load_table(f"npz:{place / 'images.npz'}"))
    assert "tiny" not in str(caught.value)


def test_a_search_doubts_its_verdict_and_its_weights_tell_the_next_job(tmp_path):
    config = write_nano_experiment(tmp_path)
    source = f"npz:{tmp_path / 'images.npz'}"
    data = prepare(config).data
    assert not doubts(data.notes)
    known = SeenImages.of(data.marks["validation"][:27])
    donor = random_donor(TINY, 1, name="donor1", classes=None)
    donor.replace(provenance=with_seen({}, [known])).save(tmp_path / "donor1.h5")
    (words,) = doubts(prepare(config).data.notes)
    assert "donor1 from about 75% of the validation images." in words
    done = evolve(config, quiet=True)
    with WeightFile(done.weights) as file:
        written = file.header.provenance
    assert words in written["flags"] and words in (done.folder / "card.md").read_text()
    before, own = seen_by(written)
    assert before == known
    # Chosen by 36 validation images, on 48 training images; the test images chose nothing.
    chosen = np.concatenate([data.marks["train"], data.marks["validation"]])
    assert own.looked_up(chosen) == (84, 84) and own.looked_up(data.marks["test"])[0] == 0
    values = {"weights.file": done.weights, "data.source": source, "data.size": 16}
    values["run.path"] = tmp_path / "next"
    prepared = prepare_trainings(None, [f"{key}={value}" for key, value in values.items()])
    assert doubts(prepared.images.notes)
