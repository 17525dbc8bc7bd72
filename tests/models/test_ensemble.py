"""Networks side by side: sums of logits, members taken out again, and a classifier in closed form."""

import dataclasses

import keras
import numpy as np
import pytest
from random_donors import TINY, random_donor
from tiny_recipe import quarters

from efn_compose.arch import HEAD_LAYER
from efn_compose.donors import load_donor
from efn_compose.errors import ConfigError, DataError, NestingError, WeightFileError
from efn_compose.jobs.ensembles.joint import join, load_joint, meta_ensemble
from efn_compose.models.ensemble import assign_head
from efn_compose.nesting.heads import fit_ridge
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

#: Of another family, so with other rules for input and batch normalisation, and of another width.
LITE = dataclasses.replace(
    TINY,
    variant="lite-tiny",
    family="lite",
    top_channels=24,
    blocks=tuple(dataclasses.replace(block, se_channels=None) for block in TINY.blocks),
)


@pytest.fixture(scope="module")
def donors():
    return [
        random_donor(TINY, 1, name="first", classes=4),
        random_donor(LITE, 2, name="the second", classes=4),
    ]


@pytest.fixture(scope="module")
def joint(donors):
    return join(donors, auxiliary=True, sizes=[None, 32])


@pytest.mark.slow
def test_stacked_classifiers_give_the_sum_of_the_single_logits(joint, donors):
    images, _ = quarters(6)
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    assert images.shape[1] == 32
    single = [np.asarray(donor.build()(donor.preprocess(images))) for donor in donors]
    found = joint.model(images.astype(np.float32))
    scale = np.abs(single).max()
    assert np.asarray(found["joint"]) == pytest.approx(sum(single), abs=float(2e-6 * scale))
    assert set(found) == {"joint", "first", "the_second"}
    assert np.asarray(found["first"]) == pytest.approx(single[0], abs=float(2e-6 * scale))


@pytest.mark.slow
def test_a_detached_member_is_its_own_bytes_until_it_learns(joint, donors, tmp_path):
    for donor, member in zip(donors, joint.members, strict=True):
        donor.save(tmp_path / "before.h5")
        joint.detach(member.name).save(tmp_path / "after.h5")
        assert (tmp_path / "before.h5").read_bytes() == (tmp_path / "after.h5").read_bytes()
    with pytest.raises(ConfigError, match="the_second"):
        joint.detach("third")
    # Plain Keras loads and trains the model; we can take it apart again.
    joint.save(tmp_path / "joint.keras")
    again = load_joint(tmp_path / "joint.keras")
    assert [member.name for member in again.members] == ["first", "the_second"]
    again.detach("the_second").save(tmp_path / "after.h5")
    assert (tmp_path / "before.h5").read_bytes() == (tmp_path / "after.h5").read_bytes()
    with pytest.raises(WeightFileError, match="not a joint network"):
        load_joint(tmp_path / "before.h5")
    with pytest.raises(ConfigError, match=r"NAME\.keras"):
        joint.save(tmp_path / "joint.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "after.h5",
        "before.h5",
        "joint.keras",
    ]
    loaded = keras.models.load_model(tmp_path / "joint.keras")
    images, labels = quarters(8)
    images = images.astype(np.float32)
    for name, values in joint.model(images).items():
        assert np.array_equal(np.asarray(loaded(images)[name]), np.asarray(values))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loaded.compile("sgd", loss=dict.fromkeys(("joint", "first", "the_second"), loss))
    loaded.fit(images, dict.fromkeys(("joint", "first", "the_second"), labels), verbose=0)
    learnt = joint.__class__(loaded, joint.members, joint.donors).detach("first")
    assert learnt.fingerprint != donors[0].fingerprint and learnt.classes == 4


@pytest.mark.slow
@pytest.mark.parametrize("top", [32, 0])
def test_members_that_fit_one_network_become_one_donor_with_the_same_logits(top, tmp_path):
    """A trained head of its own, in a network twice as wide, as NumPy runs it; also without a top."""
    small = dataclasses.replace(TINY, top_channels=top)
    pair = [random_donor(small, seed, name=f"n{seed}", classes=4) for seed in (1, 3)]
    joint = join(pair, 4)
    rng = np.random.default_rng(4)
    width = joint.features(quarters(1)[0]).shape[1]
    assign_head(joint.model, rng.normal(size=(width, 4)), rng.normal(size=4))
    wide = dataclasses.replace(
        TINY,
        variant="b-twice",
        stem_channels=16,
        top_channels=2 * top,
        blocks=tuple(
            dataclasses.replace(
                block,
                in_channels=2 * block.in_channels,
                mid_channels=2 * block.mid_channels,
                out_channels=2 * block.out_channels,
                se_channels=2 * block.se_channels,
            )
            for block in TINY.blocks
        ),
    )
    one = joint.as_one(wide)
    images, _ = quarters(6)
    wanted = np.asarray(joint.model(images.astype(np.float32)))
    found = NumpyNetwork(WeightSource.of(one)).run(one.preprocess(images))
    assert found == pytest.approx(wanted, abs=float(1e-6 * np.abs(wanted).max()))
    one.save(tmp_path / "one.h5")
    assert load_donor(tmp_path / "one.h5").fingerprint == one.fingerprint
    with pytest.raises(NestingError):
        joint.as_one(TINY)
    with pytest.raises(ConfigError, match="different sizes"):
        dataclasses.replace(
            joint, members=(joint.members[0], dataclasses.replace(joint.members[1], size=24))
        ).as_one(wide)


@pytest.mark.slow
def test_in_training_whole_members_are_dropped(donors):
    joint = join(donors, member_dropout=0.5)
    images, _ = quarters(64)
    widths = [donor.tensors[f"{HEAD_LAYER}/kernel"].shape[0] for donor in donors]
    body = keras.Model(joint.model.input, joint.model.get_layer("joint_features").output)
    keras.utils.set_random_seed(1)
    seen = np.asarray(body(images.astype(np.float32), training=True))
    assert seen.shape == (64, sum(widths))
    gone = np.stack([(part == 0).all(axis=1) for part in np.split(seen, widths[:1], axis=1)])
    assert 0.3 < gone.mean() < 0.7 and 5 < (gone[0] & ~gone[1]).sum() < 30


@pytest.mark.slow
def test_the_meta_ensemble_in_keras_is_the_closed_form(donors):
    images, labels = quarters(48)
    fold = np.arange(48) % 3
    found = meta_ensemble(donors, images, labels, fold, sizes=[None, 24])
    features = found.joint.features(images)
    logits = np.asarray(found.joint.model(images.astype(np.float32)))
    wanted = features @ found.kernel + found.bias
    assert logits == pytest.approx(wanted, abs=float(1e-5 * max(1, np.abs(wanted).max())))
    inside = fold != 1
    kernel, bias = fit_ridge(features[inside].astype(np.float64), np.eye(4)[labels[inside]])
    asked = features[~inside] @ kernel + bias
    shares = np.exp(asked) / np.exp(asked).sum(axis=1, keepdims=True)
    assert found.probability[~inside] == pytest.approx(shares, abs=1e-4)
    # Random bodies: better than chance, which is a quarter.
    assert (found.probability.argmax(axis=1) == labels).mean() > 0.3
    with pytest.raises(DataError, match="1 folds"):
        meta_ensemble(donors, images, labels, np.zeros(48))


def test_what_cannot_be_joined_is_refused(donors):
    with pytest.raises(ConfigError, match="two or more"):
        join(donors[:1])
    with pytest.raises(ConfigError, match="one per donor"):
        join(donors, sizes=[32])
    with pytest.raises(ConfigError, match="classes=N"):
        join([donors[0], donors[1].without_head()])
    for classes in (0, -3):
        with pytest.raises(ConfigError, match=f"allowed 1 or more. Received: {classes}"):
            join(donors, classes)
    with pytest.raises(ConfigError, match="a size is 8 pixels or more, received 0"):
        join(donors, sizes=[0, 16])


@pytest.mark.parametrize(
    "names", [("joint", "image"), ("a", "a_head"), ("a_2", "a"), ("a", "a", "a_2", "joint_head")]
)
def test_every_member_has_a_head_of_its_own_whatever_the_files_are_called(donors, names):
    given = [donors[number % 2].replace(name=name) for number, name in enumerate(names)]
    joint = join(given, auxiliary=True)
    outputs = joint.model(np.zeros((1, 32, 32, 3), np.float32))
    assert len(outputs) == 1 + len(names) == 1 + len({member.name for member in joint.members})
    # What a layer cannot be called gets a number; all other names stay.
    kept = {member.name for member in joint.members} & set(names)
    assert kept >= set(names) - {"joint", "image", "a_head", "joint_head"}
