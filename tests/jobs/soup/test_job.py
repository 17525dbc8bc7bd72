"""The verb `soup`: what it writes, what it says, and what it refuses."""

import dataclasses
import json

import fine_tunings
import numpy as np
import pytest
from fine_tunings import KERNEL
from random_donors import TINY, photo_like, random_donor

from efn_compose import load_donor, soup
from efn_compose.assess.metrics import best_temperature, log_softmax
from efn_compose.cli import main
from efn_compose.data import DataOptions, load_data
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.errors import ConfigError, IncompatibleDonorsError
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.statistics.repair import repair
from efn_compose.store import WeightFile

# Whichever test comes first builds the networks of all.
pytestmark = pytest.mark.slow

CLASSES = 7
BASE = random_donor(TINY, seed=0, classes=CLASSES)


def tuned(seed, noise=0.03):
    return fine_tunings.tuned(seed, noise, BASE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three fine-tunings, with licences and the source they came from."""
    folder = tmp_path_factory.mktemp("donors")
    BASE.replace(provenance={"licence": "MIT"}).save(folder / "base.h5")
    found = []
    for number in (1, 2, 3):
        donor = tuned(number)
        origin = {"licence": ("MIT", "Apache-2.0")[number % 2], "source": str(folder / "base.h5")}
        donor.replace(provenance=origin).save(folder / f"tuned{number}.h5")
        found.append(folder / f"tuned{number}.h5")
    return found


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Images whose labels are mostly what the first fine-tuning says of them."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    images = photo_like(260, 32, seed=5)
    donor = tuned(1)
    logits = StepwiseNetwork.of(donor).predict(donor.preprocess(images))
    labels = logits.argmax(axis=1)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < 0.3
    labels[wrong] = rng.integers(0, CLASSES, wrong.sum())
    np.savez(path, images=images, labels=labels)
    return DataOptions(
        source=f"npz:{path}", size=32, train_images=120, validation_images=70, test_images=70
    )


@pytest.fixture(scope="module")
def uniform(files, options):
    """The mean of the three, re-estimated and judged on images."""
    return soup(files, method="uniform", data=options, seed=3)


@pytest.fixture(scope="module")
def few(options):
    """The same images in a split of fewer."""
    return dataclasses.replace(options, train_images=40, validation_images=30, test_images=30)


def test_without_images_it_is_the_plain_mean_and_says_so(files, tmp_path):
    found = soup(files, output=tmp_path / "soup.h5")
    written = load_donor(tmp_path / "soup.h5")
    donors = [load_donor(file) for file in files]
    for name, values in written.tensors.items():
        if not name.endswith("moving_variance"):
            mean = np.mean([d.tensors[name] for d in donors], axis=0, dtype=np.float64)
            np.testing.assert_allclose(values, mean, atol=1e-6)
    assert found.overall == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert "not re-estimated" in found.batch_norm and found.verdict is None
    assert written.provenance["licence"] == "Apache-2.0 AND MIT"
    assert [entry["fingerprint"] for entry in written.provenance["donors"]] == [
        donor.fingerprint for donor in donors
    ]
    with WeightFile(tmp_path / "soup.h5") as file:
        assert file.header.recipe["method"] == "uniform"
        assert file.header.recipe["shares"] == {"network": pytest.approx([1 / 3] * 3)}


@pytest.fixture(scope="module")
def evaluators():
    """Traced networks by file name: all first soups share one, and all second soups another."""
    return {}


@pytest.mark.parametrize("method", ["greedy", "learned", "stock"])
def test_equal_seeds_write_equal_bytes(method, files, few, evaluators, tmp_path, monkeypatch):
    original = WorkerSetup.make_worker
    for name in ("one.h5", "two.h5"):

        def make_worker(setup, data, name=name):
            if name not in evaluators:
                evaluators[name] = original(setup, data)
            return evaluators[name]

        monkeypatch.setattr(WorkerSetup, "make_worker", make_worker)
        found = soup(files, output=tmp_path / name, method=method, data=few, seed=3)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    assert sum(found.overall) == pytest.approx(1)
    assert found.classifier == "own"
    again = load_donor(tmp_path / "one.h5")
    assert again.fingerprint == found.donor.fingerprint
    assert again.classes == CLASSES


def test_the_verdict_is_what_plain_networks_say_of_the_test_images(uniform, files, options):
    found = uniform
    data = load_data(options, 3)

    def losses(donor, part):
        logits = StepwiseNetwork.of(donor).predict(donor.preprocess(part[0]))
        return logits, lambda heat: -log_softmax(logits / heat)[np.arange(len(logits)), part[1]]

    validation = data.validation_images, data.validation_labels
    test = data.test_images, data.test_labels

    def judged(donor):
        logits, at = losses(donor, validation)
        heat = best_temperature(logits, validation[1])
        answers, test_at = losses(donor, test)
        return at(heat).mean(), test_at(heat), answers.argmax(axis=1) == test[1]

    loss, test_losses, right = judged(found.donor)
    assert found.scores["soup"].loss == pytest.approx(loss, rel=1e-3)
    # Labels are the first network's, so nobody alone beats it: as it is, or re-estimated.
    first = load_donor(files[0])
    inputs = first.preprocess(data.train_images)
    repaired = repair(first.spec, first.conventions, first.tensors, inputs)
    both = [judged(donor) for donor in (first, first.replace(tensors=repaired))]
    best_loss, best_losses, best_right = min(both, key=lambda found: found[0])
    assert found.verdict.best == "tuned1"
    assert found.scores["tuned1"].loss == pytest.approx(best_loss, rel=1e-3)
    difference = test_losses - best_losses
    assert found.verdict.loss.mean == pytest.approx(difference.mean(), abs=2e-3)
    assert found.verdict.loss.standard_error == pytest.approx(
        difference.std(ddof=1) / np.sqrt(len(difference)), rel=0.02
    )
    gain = right.astype(float) - best_right
    assert found.verdict.accuracy.mean == pytest.approx(gain.mean(), abs=0.02)
    assert found.verdict.images == 70


def test_statistics_are_those_of_the_training_images(uniform, options):
    found = uniform
    data = load_data(options, 3)
    seen = {}
    StepwiseNetwork.of(found.donor).run(
        found.donor.preprocess(data.train_images),
        before=lambda layer, x: seen.setdefault(layer, x.numpy()),
    )
    np.testing.assert_allclose(
        found.donor.tensors["stem_bn/moving_mean"],
        seen["stem_bn"].mean(axis=(0, 1, 2), dtype=np.float64),
        atol=1e-3,
    )
    assert found.batch_norm == "re-estimated on 120 training images"


def test_greedy_keeps_the_best_network_where_others_only_harm(files, options, tmp_path):
    lines = []
    harmful = tuned(8, noise=0.2)
    harmful.save(tmp_path / "harmful.h5")
    found = soup(
        [files[0], tmp_path / "harmful.h5"],
        output=tmp_path / "soup.h5",
        method="greedy",
        data=options,
        say=lines.append,
    )
    assert found.overall == (1.0, 0.0)
    assert found.verdict.loss.mean == pytest.approx(0, abs=1e-9)
    first = load_donor(files[0])
    written = load_donor(tmp_path / "soup.h5")
    assert all(np.array_equal(written.tensors[n], v) for n, v in first.tensors.items())
    assert len(lines) == 3 and "alone" in lines[0]


def test_one_network_of_foreign_statistics_does_not_lose_against_itself(options):
    """Alone it competed with statistics of these images, so that the file has them, too."""
    best = tuned(1)
    foreign = {
        name: 3 * values if name.endswith("moving_variance") else values
        for name, values in best.tensors.items()
    }
    donors = [best.replace(name="best", tensors=foreign), tuned(8, noise=0.2)]
    found = soup(donors, method="greedy", data=options)
    assert found.overall == (1.0, 0.0)
    assert found.verdict.words.startswith("The soup is best alone")
    assert found.verdict.loss.mean == found.verdict.loss.standard_error == 0
    assert found.scores["soup"] == found.scores["best"]
    assert found.batch_norm.startswith("re-estimated on 120 training images: one network")
    data = load_data(options, 0)
    written = StepwiseNetwork.of(found.donor).predict(found.donor.preprocess(data.test_images))
    plain = StepwiseNetwork.of(donors[0]).predict(donors[0].preprocess(data.test_images))

    def loss(logits):
        return -log_softmax(logits)[np.arange(len(logits)), data.test_labels].mean()

    assert loss(written) < loss(plain)


def test_networks_without_a_classifier_are_judged_by_ridge(options):
    headless = [tuned(number).without_head() for number in (1, 2)]
    found = soup(headless, data=options, method="learned")
    assert found.classifier == "ridge" and found.donor.classes is None
    assert found.scores["soup"].accuracy > 1.5 / CLASSES
    assert set(found.shares) >= {"stem", "top"} or len(found.shares) > 3
    assert all(sum(share) == pytest.approx(1) for share in found.shares.values())


def test_a_classifier_of_other_classes_does_not_judge(few):
    own, other = tuple(map(str, range(CLASSES))), tuple("gfedcba")

    def named(number, names):
        return tuned(number).replace(provenance=TrainedFor(32, names).added_to({}))

    judged = soup([named(1, own), named(2, own)], data=few)
    assert judged.classifier == "own"
    lines: list[str] = []
    found = soup([named(1, other), named(2, other)], data=few, say=lines.append)
    assert found.classifier == "ridge"
    assert any("the networks know g, f, e, d, c" in line for line in lines)
    # Heads whose outputs mean different things are no average of anything.
    mixed = soup([named(1, own), named(2, other)])
    assert mixed.donor.classes is None
    # A file that says nothing is believed.
    assert soup([named(1, own), tuned(2)], data=few).classifier == "own"


def test_a_classifier_of_other_classes_does_not_teach(few):
    """The shares are those that the same networks get without their classifiers."""
    names = TrainedFor(32, tuple("gfedcba")).added_to({})
    named = [tuned(number).replace(provenance=names) for number in (1, 2)]
    headless = [donor.without_head() for donor in named]
    found, expected = (soup(d, method="learned", data=few, seed=3) for d in (named, headless))
    assert found.classifier == expected.classifier == "ridge"
    assert found.shares == expected.shares
    assert found.donor.classes == CLASSES and expected.donor.classes is None


def test_the_ancestor_is_found_by_the_source_that_the_files_name(files, tmp_path):
    found = soup(files, method="stock", output=tmp_path / "soup.h5")
    named = soup(files, method="stock", ancestor=files[0].parent / "base.h5")
    assert found.members == ("tuned1", "tuned2", "tuned3", "base")
    assert found.donor.fingerprint == named.donor.fingerprint
    # Independent noise on everything: nearly orthogonal, so nearly everything goes back.
    assert found.overall[-1] > 0.8
    nameless = [tuned(number) for number in (1, 2)]
    with pytest.raises(ConfigError, match=r"do not name one source.*--ancestor"):
        soup(nameless, method="stock")
    with pytest.raises(ConfigError, match="is one of the networks"):
        soup(files, method="stock", ancestor=files[0])
    with pytest.raises(IncompatibleDonorsError, match="is no ancestor"):
        soup(files, method="stock", ancestor=random_donor(TINY, seed=5))


def test_what_cannot_be_averaged_is_refused_with_the_next_step(files, tmp_path):
    stranger = random_donor(TINY, seed=5)
    stranger.save(tmp_path / "stranger.h5")
    with pytest.raises(IncompatibleDonorsError) as refused:
        soup([*files, tmp_path / "stranger.h5"])
    assert "2 lineages" in str(refused.value) and "efn-compose align" in str(refused.value)
    with pytest.raises(ConfigError, match="tuned1 and again"):
        soup([files[0], f"again={files[0]}"])
    # By its name the smaller network would be the last one.
    with pytest.raises(IncompatibleDonorsError, match=r"(?s)lite-w0\.1.*--into b-w0\.2-d0\.3"):
        soup([random_donor("b-w0.2-d0.3"), random_donor("lite-w0.1-d0.3")])
    with pytest.raises(ConfigError) as listed:
        soup([files[0]], method="greedy", ancestor=files[1])
    for problem in ("two networks or more", "needs labelled images", "'stock' alone"):
        assert problem in str(listed.value)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for number in (1, 2):
        (tmp_path / f"seed{number}").mkdir()
        tuned(number).save(tmp_path / f"seed{number}" / "best.h5")
    found = soup([tmp_path / f"seed{number}" / "best.h5" for number in (1, 2)])
    assert found.members == ("seed1_best", "seed2_best")


def test_the_command_plans_writes_and_refuses(files, options, tmp_path, capsys):
    words = ["soup", *map(str, files), "-o", str(tmp_path / "soup.h5")]
    images = ["--data", options.source, "--size", "32", "--image-count", "100"]
    assert main([*words, *images, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["images"] == {"train": 60, "validation": 20, "test": 20}
    assert not (tmp_path / "soup.h5").exists()
    assert main([*words, *images, "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["overall"] == pytest.approx({"tuned1": 1 / 3, "tuned2": 1 / 3, "tuned3": 1 / 3})
    assert set(fields["scores"]) == {"tuned1", "tuned2", "tuned3", "soup"}
    assert fields["verdict"]["images"] == 20
    assert main([*words, *images]) == 0
    assert fields["verdict"]["words"] in capsys.readouterr().out
    assert load_donor(tmp_path / "soup.h5").tensors[KERNEL].dtype == np.float32
    assert main([*words, *images[:-1], "4"]) == 1
    assert "Here --image-count N stands for all three" in capsys.readouterr().err
    before = files[0].read_bytes()
    assert main(["soup", *map(str, files), "-o", str(files[0])]) == 2
    assert main(["soup", *map(str, files), "-o", str(tmp_path / "absent" / "soup.h5")]) == 2
    assert files[0].read_bytes() == before


def test_a_network_in_a_file_called_soup_keeps_a_row_of_its_own(files, few, tmp_path):
    copied = [tmp_path / "soup.h5", tmp_path / "other.h5"]
    for source, target in zip(files, copied, strict=False):
        target.write_bytes(source.read_bytes())
    found = soup(copied, data=few, seed=3)
    assert found.members == ("soup_2", "other")
    assert list(found.scores) == ["soup_2", "other", "soup"]
    with pytest.raises(ConfigError, match=r"soup_2=.*soup\.h5"):
        soup([f"soup={copied[0]}", copied[1]])
