"""Further parts of a weight file: kept, read back, hidden from plain Keras, never lost without a word."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from random_donors import random_donor
from tiny_recipe import quarters, tiny_data, tiny_donor

import efn_compose
from efn_compose.cli import main
from efn_compose.donors import align, harmonise, load_donor
from efn_compose.errors import (
    ConfigError,
    FurtherPartError,
    InventoryMismatchError,
    UncheckedFileWarning,
    WeightFileError,
)
from efn_compose.models import build_model
from efn_compose.nesting import nest, ridge_head, shrink
from efn_compose.nesting.direct_sum import direct_sum
from efn_compose.soups import uniform_soup
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.store import WeightFile
from efn_compose.store.weights.parts import Part
from efn_compose.train.recipe import Classification, Objective, Trainer, TrainOptions, fit

KEPT = Path(__file__).parent / "kept" / "weights_0_1_0.h5"


def decoder(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "decoder_up1_conv/kernel": (3, 3, 24, 8),
        "decoder_up1_bn/gamma": (8,),
        "decoder_up1_bn/moving_variance": (8,),
        "decoder_mask/bias": (2,),
    }
    values = {n: rng.random(shape).astype(np.float32) for n, shape in shapes.items()}
    return Part(values, {"kind": "classic", "widths": [8]})


def projector():
    return Part({"projector_1/kernel": np.ones((32, 16), np.float32)})


@pytest.fixture
def donor():
    """A donor with all parts there are."""
    with pytest.warns(UncheckedFileWarning):
        whole = load_donor(KEPT)
    return whole.replace(parts={"decoder": decoder(), "projector": projector()})


def all_of(path):
    """Return every dataset and attribute of an HDF5 file as bytes, by name, but for checksums."""
    found = {}

    def take(name, node):
        found.update({f"{name}@{key}": np.asarray(v).tobytes() for key, v in node.attrs.items()})
        if isinstance(node, h5py.Dataset):
            found[name] = str(node.dtype).encode() + node[()].tobytes()

    with h5py.File(path) as file:
        take("", file)
        file.visititems(take)
        found["@efn_compose"] = file.attrs["efn_compose"].encode()
    found.pop("@efn_compose_crc32", None)
    return found


def test_a_file_of_0_1_0_is_read_and_written_with_nothing_but_checksums_added(tmp_path):
    with pytest.warns(UncheckedFileWarning):
        donor = load_donor(KEPT)
    assert donor.part_names == ("backbone", "head") and not donor.parts
    with pytest.warns(UncheckedFileWarning), WeightFile(KEPT) as file:
        donor_map = file.read_donor_map()
    donor.save(tmp_path / "again.h5", donor_map=donor_map)
    assert all_of(tmp_path / "again.h5") == all_of(KEPT)
    # And taking parts off is writing what would have been written without them.
    more = donor.replace(parts={"decoder": decoder(), "projector": projector()})
    bare = more.without_part("projector").without_part("decoder")
    bare.save(tmp_path / "bare.h5", donor_map=donor_map)
    assert (tmp_path / "bare.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    assert bare.fingerprint == donor.fingerprint != more.fingerprint


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_parts_are_read_as_they_were_written(donor, tmp_path, dtype):
    path = tmp_path / "unet.h5"
    donor.save(path)
    found = load_donor(path)
    assert found.part_names == ("backbone", "head", "decoder", "projector")
    assert found.fingerprint == donor.fingerprint
    for name, part in donor.parts.items():
        assert dict(found.parts[name].settings) == dict(part.settings)
        assert list(found.parts[name].tensors) == list(part.tensors)
        for tensor, values in part.tensors.items():
            np.testing.assert_array_equal(found.parts[name].tensors[tensor], values)
    # Whoever reads HDF5 finds them under their names.
    with h5py.File(path) as file:
        np.testing.assert_array_equal(
            file["decoder_up1_conv/kernel"],
            donor.parts["decoder"].tensors["decoder_up1_conv/kernel"],
        )
    with WeightFile(path) as file:
        assert set(file.read_all()) == set(donor.tensors)
        with pytest.raises(WeightFileError, match="backbone, head, decoder, projector"):
            file.read_part("generator")


def test_plain_keras_loads_the_backbone_of_a_file_with_parts(donor, tmp_path):
    path = tmp_path / "unet.h5"
    donor.save(path)
    pixels = donor.preprocess(quarters(4)[0])
    model = build_model(donor.spec, donor.conventions, include_top=False)
    model.load_weights(path)
    expected = np.asarray(donor.build(include_top=False)(pixels))
    np.testing.assert_array_equal(np.asarray(model(pixels)), expected)
    # By name too, into a model that has layers of its own.
    other = build_model(donor.spec, donor.conventions, include_top=False)
    own = keras.Model(other.input, keras.layers.Conv2D(2, 1, name="decoder_mask")(other.output))
    own.load_weights(path, by_name=True, skip_mismatch=False)
    found = keras.Model(own.input, other.output)(pixels)
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_what_takes_parts_off(donor):
    assert donor.without_head().part_names == ("backbone", "decoder", "projector")
    assert donor.without_part("head").classes is None
    assert donor.without_part("decoder").part_names == ("backbone", "head", "projector")
    for name in ("backbone", "generator"):
        with pytest.raises(ConfigError, match="allowed: head, decoder, projector"):
            donor.without_part(name)


def test_names_that_would_be_confused_are_refused_all_at_once():
    values = np.ones(3, np.float32)
    parts = {
        "stage1": Part({"stage1_block1_project_bn/gamma": values}),
        "head": Part({"head_conv/kernel": values}),
        "decoder": Part({"up1/kernel": values, "decoder_../kernel": values, "decoder_a/x": values}),
        "projector": Part({}),
    }
    with pytest.raises(InventoryMismatchError) as error:
        tiny_donor().replace(parts=parts)
    for words in (
        "stage1_block1_project_bn/gamma: the network has a layer of that name",
        "part 'head'",
        "- up1/kernel",
        "- decoder_../kernel",
        "- decoder_a/x",
        "'projector': it has no tensors",
    ):
        assert words in str(error.value)


def test_a_damaged_part_is_named(donor, tmp_path):
    path = tmp_path / "unet.h5"
    donor.save(path)
    with h5py.File(path, "r+") as file:
        del file["decoder_mask"], file["decoder_up1_bn/gamma"]
        file["decoder_up1_bn/gamma"] = np.ones(9, np.float32)
        file["decoder_up1_conv/kernel"][0, 0, 0, 0] = np.nan
    with pytest.raises(WeightFileError) as error:
        WeightFile(path)
    assert "missing: decoder_mask/bias" in str(error.value)
    assert "shape: decoder_up1_bn/gamma file (9,) expected (8,)" in str(error.value)
    with pytest.raises(WeightFileError, match="negative variance"):
        broken = {**decoder().tensors, "decoder_up1_bn/moving_variance": -np.ones(8, np.float32)}
        donor.replace(parts={"decoder": Part(broken)}).save(tmp_path / "negative.h5")
    assert not (tmp_path / "negative.h5").exists()


REFUSING = {
    "harmonise": lambda donor, path: harmonise([tiny_donor(), donor.without_head()]),
    "align": lambda donor, path: align([donor, donor], quarters(8)[0]),
    "soup": lambda donor, path: uniform_soup([donor, donor]),
    "nest": lambda donor, path: nest(donor, "b0"),
    "nest a file": lambda donor, path: main(["nest", str(path), "--into", "b0", "-o", f"{path}2"]),
    "direct sum": lambda donor, path: direct_sum(donor, donor, "b0"),
    "shrink": lambda donor, path: shrink(donor, donor.spec),
    "export": lambda donor, path: efn_compose.export(donor, to="safetensors", path=f"{path}3"),
    "train": lambda donor, path: fit(donor, tiny_data(), TrainOptions(epochs=1)),
}


@pytest.mark.parametrize("name", REFUSING)
def test_what_cannot_take_a_part_along_says_so_and_writes_nothing(donor, tmp_path, name, capsys):
    path = tmp_path / "unet.h5"
    donor.save(path)
    words = "further parts beside its backbone .*decoder.*without_part"
    if name == "nest a file":
        assert REFUSING[name](donor, path) == 1
        assert "without_part('decoder')" in capsys.readouterr().err
    else:
        with pytest.raises(FurtherPartError, match=words):
            REFUSING[name](donor, path)
    assert [file.name for file in tmp_path.iterdir()] == ["unet.h5"]


def test_what_leaves_the_stream_as_it_is_carries_parts_along(donor):
    images, labels = quarters(12)
    for found in (absorb_statistics(donor, images), ridge_head(donor, images, labels)):
        assert found.parts == donor.parts


def test_a_seeded_model_says_which_parts_it_was_not_given(donor):
    whole = random_donor(classes=None).replace(parts=donor.parts)
    report = efn_compose.seed(whole.build(include_top=False), whole)
    assert report.unused_parts == ("decoder", "projector")
    assert "parts of the weights not used: decoder, projector" in str(report)


def test_inspect_shows_parts(donor, tmp_path, capsys):
    donor.save(tmp_path / "unet.h5")
    assert main(["inspect", str(tmp_path / "unet.h5")]) == 0
    said = capsys.readouterr().out
    assert "decoder" in said and "classic" in said and "decoder_up1_conv" not in said


class Projected(Objective):
    """A projector on the pooled features, which the weight file keeps."""

    parts = ("projector",)

    def outputs(self, backbone):
        pooled = keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)
        return keras.layers.Dense(16, use_bias=False, name="projector_1")(pooled)

    def draw(self, model, donor, seed):
        if "projector" in donor.parts:
            kernel = donor.parts["projector"].tensors["projector_1/kernel"]
            model.get_layer("projector_1").kernel.assign(kernel)

    def targets(self, data):
        return np.zeros((len(data.train_images), 16), np.float32)

    def loss(self, model, pixels, targets, updates):
        return keras.ops.sum((model(pixels, training=True) - targets) ** 2)

    def scores(self, predict, data):
        return {"loss": float((predict(data.validation_images) ** 2).sum())}

    def kept_parts(self, model):
        return {
            "projector": Part(
                {"projector_1/kernel": np.asarray(model.get_layer("projector_1").kernel.numpy())}
            )
        }


@pytest.mark.slow
def test_a_training_takes_over_its_part_learns_it_and_keeps_it(donor, tmp_path):
    objective = Projected(TrainOptions(epochs=1, batch_size=32))
    start = donor.without_part("decoder")
    fitted = fit(start, tiny_data(), objective=objective)
    fitted.donor.save(tmp_path / "pretrained.h5")
    found = load_donor(tmp_path / "pretrained.h5")
    assert found.part_names == ("backbone", "projector")
    learnt = found.parts["projector"].tensors["projector_1/kernel"]
    assert 0 < np.abs(learnt - 1).max() < 1
    # What is on the disk is what the network is.
    trainer = Trainer(found, Projected(objective.options))
    trainer.start(found, 1, tiny_data(), 1)
    images = quarters(8)[0]
    np.testing.assert_allclose(trainer.predict(images), fitted.predict(images), atol=1e-5)
    with pytest.raises(FurtherPartError, match="'decoder'"):
        trainer.start(donor, 1, tiny_data(), 1)
    # The next training wants classes, and gets the backbone.
    fit(
        found.without_part("projector"),
        tiny_data(),
        objective=Classification(4, TrainOptions(epochs=1)),
    )
