"""Absorbing statistics: the same function, and training begins with it.

The truth is Keras: its BatchNorm in inference, and in training over one batch of all images.
"""

from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from nano_run import write_nano_experiment
from random_donors import NANO_VARIANTS, photo_like, random_donor
from tiny_recipe import tiny_data, tiny_donor

from efn_compose.cli import main
from efn_compose.donors import load_donor
from efn_compose.errors import DataError
from efn_compose.models import assign_weights, build_model
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.train.recipe import TrainOptions, fit


def dimmed(count: int, seed: int) -> np.ndarray:
    """Return images that look unlike those a nano donor's statistics come from."""
    return (photo_like(count, seed=seed) // 4 + 20).astype(np.uint8)


@cache
def _network(spec, conventions, classes: int, side: int, dtype: str):
    """Return a model, built once, and one of it that ends with its last convolution."""
    model = build_model(spec, conventions, classes=classes, input_shape=(side, side, 3))
    for one in model._flatten_layers():
        if isinstance(one, keras.layers.Dropout):
            one.rate = 0.0
    return model, keras.Model(model.input, model.get_layer("top_conv").output)


def outputs(donor, images: np.ndarray, *, training: bool, convolved: bool = False) -> np.ndarray:
    """Return Keras' logits, or its last convolution's output, without dropout and dropped blocks."""
    place = (donor.spec, donor.conventions, donor.classes, images.shape[1])
    model, body = _network(*place, keras.config.floatx())
    # Before each call: in training it moves the model's statistics.
    assign_weights(model, donor.spec, donor.tensors, donor.classes)
    shown = body if convolved else model
    return np.asarray(shown(donor.preprocess(images), training=training))


@pytest.fixture
def in_double():
    """Keras' layers in float64: nano networks amplify rounding where images are foreign to them."""
    usual = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy(usual[0])
    keras.config.set_floatx(usual[1])


@pytest.fixture(scope="module", params=NANO_VARIANTS)
def donor(request):
    return random_donor(request.param, images=photo_like(40), dtype="float64")


@pytest.fixture(scope="module")
def absorbed(donor):
    """The donor with each part absorbed for 70 dimmed images."""
    images = dimmed(70, seed=1)
    return {part: absorb_statistics(donor, images, part) for part in ("all", "body")}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["all", "body"])
@pytest.mark.usefixtures("in_double")
def test_the_function_is_kept_for_any_image(donor, absorbed, part):
    for images in (dimmed(9, seed=2), photo_like(9, seed=3)):
        before = outputs(donor, images, training=False)
        now = outputs(absorbed[part], images, training=False)
        np.testing.assert_allclose(now, before, atol=1e-9 * np.abs(before).max())


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
def test_training_begins_with_what_inference_gave(donor, absorbed):
    images = dimmed(70, seed=1)
    before = outputs(donor, images, training=False)
    now = outputs(absorbed["all"], images, training=True)
    np.testing.assert_allclose(now, before, atol=1e-3 * np.abs(before).max())
    # Without it, the first step already sees another network.
    then = outputs(donor, images, training=True)
    assert np.abs(then - before).max() > 0.1 * np.abs(before).max()


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
def test_body_keeps_what_the_network_computes_before_its_last_batchnorm(donor, absorbed):
    images = dimmed(70, seed=1)
    before = outputs(donor, images, training=False, convolved=True)
    of_body = absorbed["body"]
    for training in (False, True):
        now = outputs(of_body, images, training=training, convolved=True)
        np.testing.assert_allclose(now, before, atol=1e-3 * np.abs(before).max())
    left = {n for n in donor.tensors if of_body.tensors[n] is donor.tensors[n] and "_bn/" in n}
    assert left == {
        f"top_bn/{role}" for role in ("gamma", "beta", "moving_mean", "moving_variance")
    }


def test_only_batchnorm_changes_and_the_provenance_says_so(donor):
    images = dimmed(20, seed=1)
    every = {name for name in donor.tensors if "_bn/" in name}
    top = {name for name in every if name.startswith("top_bn/")}
    # Without a word on the part, as the command and runs do.
    for words, part, expected in (((), "body", every - top), (("all",), "all", every)):
        absorbed = absorb_statistics(donor, images, *words)
        changed = {n for n, v in donor.tensors.items() if absorbed.tensors[n] is not v}
        assert changed == expected
        assert absorbed.provenance["absorbed"] == {"images": 20, "size": [32, 32], "part": part}


@pytest.mark.slow
def test_the_verb_leaves_the_last_batchnorm_unless_told_otherwise(tmp_path):
    np.savez(tmp_path / "photos.npz", images=dimmed(12, seed=1), labels=np.arange(12) % 2)
    before = tiny_donor()
    before.save(tmp_path / "tiny.h5")
    words = ["absorb", f"{tmp_path}/tiny.h5", "--images", f"npz:{tmp_path}/photos.npz"]
    words += ["--size", "16", "--image-count", "12", "-o"]
    files = {name: tmp_path / f"{name}.h5" for name in ("plain", "--body", "--all")}
    for name, file in files.items():
        assert main([*words, str(file), *([] if name == "plain" else [name])]) == 0
    assert files["plain"].read_bytes() == files["--body"].read_bytes()
    changed = {
        name: {n for n, v in load_donor(file).tensors.items() if (v != before.tensors[n]).any()}
        for name, file in files.items()
    }
    norms = {name for name in before.tensors if "_bn/moving" in name}
    last = {name for name in norms if name.startswith("top_bn/")}
    assert norms & changed["plain"] == norms - last and norms & changed["--all"] == norms
    with pytest.raises(SystemExit):
        main([*words, f"{tmp_path}/x.h5", "--all", "--body"])


def test_one_image_is_refused(donor):
    with pytest.raises(DataError, match="at least 2 images"):
        absorb_statistics(donor, dimmed(1, seed=1))


@pytest.mark.slow
def test_a_run_absorbs_the_statistics_of_its_training_images(tmp_path):
    config = write_nano_experiment(
        tmp_path, population=2, generations=0, noise_repeats=0, finalists=1
    )
    settings = ("donors.absorb=all", "donors.align=never", "donors.siblings=0")
    command = ["evolve", str(config), *(word for s in settings for word in ("--set", s))]
    assert main(command) == 0
    images = photo_like(6)
    for number in (1, 2):
        original = load_donor(tmp_path / f"donor{number}.h5").without_head()
        (path,) = (tmp_path / "run" / "absorbed").glob(f"donor{number}-*.h5")
        absorbed = load_donor(path)
        assert absorbed.provenance["absorbed"]["images"] == 48
        before = features(original, images)
        np.testing.assert_allclose(
            features(absorbed, images), before, atol=2e-4 * np.abs(before).max()
        )
        written = path.stat().st_mtime_ns
    assert main([*command, "--resume"]) == 0
    assert path.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_training_begins_with_the_function_it_was_given():
    donor, data = tiny_donor(), tiny_data()
    images = data.train_images
    wanted = features(donor, images)
    found = {a: features(untouched(donor, absorb=a), images) for a in ("all", "never")}
    np.testing.assert_allclose(found["all"], wanted, atol=1e-4 * np.abs(wanted).max())
    # Without it, statistics re-estimated on these images make another network.
    assert np.abs(found["never"] - wanted).max() > 0.1 * np.abs(wanted).max()


@pytest.mark.slow
def test_a_training_whose_images_grow_begins_with_statistics_of_small_ones():
    donor = tiny_donor()
    small = np.asarray(tf.image.resize(tiny_data().train_images, (8, 8), antialias=True))
    truth = absorb_statistics(donor, small, "body")
    found = untouched(donor, sizes=(8, 16), epochs=2)
    assert found.provenance["absorbed"] == truth.provenance["absorbed"]
    for name in (n for n in truth.tensors if n.endswith(("gamma", "beta"))):
        np.testing.assert_allclose(found.tensors[name], truth.tensors[name], atol=1e-6)


def untouched(donor, **options):
    """Return what a training leaves whose steps are too small to move anything but statistics."""
    usual = {
        "epochs": 1,
        "batch_size": 96,
        "learning_rate": 1e-12,
        "recalibrate_images": 96,
    }
    return fit(donor, tiny_data(), TrainOptions(**{**usual, **options})).donor


@cache
def _body(spec, conventions, side: int):
    """Return a model without its classifier, built once."""
    return build_model(spec, conventions, include_top=False, input_shape=(side, side, 3))


def features(donor, images: np.ndarray) -> np.ndarray:
    """Return Keras' last feature map."""
    model = _body(donor.spec, donor.conventions, images.shape[1])
    assign_weights(model, donor.spec, donor.without_head().tensors, None)
    return np.asarray(model(donor.preprocess(images), training=False))
