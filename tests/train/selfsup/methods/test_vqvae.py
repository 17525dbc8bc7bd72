"""VQ-VAE: the codebook against a brute force, the passed gradient, and a killed training."""

import numpy as np
import pytest
import tensorflow as tf
from image_calls import count_image_calls
from tiny_recipe import KilledHalfWay, quarters, tiny_donor

from efn_compose.arch import arch_spec
from efn_compose.arch.feature_points import feature_points
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe import Trainer
from efn_compose.train.recipe.fit import fit_inputs
from efn_compose.train.recipe.inputs import Inputs
from efn_compose.train.selfsup import PretrainOptions
from efn_compose.train.selfsup.codebook import DECAY, Codebook, nearest_entries, perplexity
from efn_compose.train.selfsup.methods.vqvae import ENTRIES, VqVae, coded_points

# Whichever test comes first builds the network of all.
pytestmark = pytest.mark.slow


def book(entries=6, dimensions=3):
    made = Codebook(entries, dimensions, "book")
    made.draw(np.random.default_rng(0))
    return made


def test_entries_are_the_nearest_by_brute_force():
    rng = np.random.default_rng(1)
    vectors, codes = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(6, 3))
    found = nearest_entries(tf.constant(vectors), tf.constant(codes)).numpy()
    for place in np.ndindex(2, 5, 5):
        distances = [float(((vectors[place] - code) ** 2).sum()) for code in codes]
        assert found[place] == int(np.argmin(distances))


def test_codebook_update_is_that_of_a_brute_force():
    made = book()
    codes, counts = np.array(made.codes.numpy()), np.ones(6, np.float32)
    rng = np.random.default_rng(2)
    # One entry is far from everything, so that it is never chosen and dies.
    codes[5] = 100.0
    sums, last = codes.copy(), codes
    for variable, values in ((made.codes, codes), (made.sums, sums), (made.counts, counts)):
        variable.assign(values)
    for moment in range(400):
        vectors = rng.normal(size=(40, 3)).astype(np.float32)
        chosen = [int(np.argmin([((v - c) ** 2).sum() for c in codes])) for v in vectors]
        for entry in range(6):
            mine = [v for v, c in zip(vectors, chosen, strict=True) if c == entry]
            counts[entry] = DECAY * counts[entry] + (1 - DECAY) * len(mine)
            sums[entry] = DECAY * sums[entry] + (1 - DECAY) * np.sum(mine or [np.zeros(3)], axis=0)
        made.follow(tf.constant(vectors), tf.constant(float(moment)))
        dead = counts < 0.05 * 40 / 6
        last = np.array(made.codes.numpy())
        if dead.any():
            break
        codes = sums / counts[:, None]
        np.testing.assert_allclose(last, codes, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(made.counts.numpy(), counts, rtol=1e-4)
    assert dead.tolist() == [False] * 5 + [True] and moment > 50
    # It begins again at one of the batch's vectors.
    assert min(np.abs(last[5] - v).max() for v in vectors) < 1e-5


def test_entries_begin_in_the_first_batch():
    made = book(entries=8)
    vectors = np.random.default_rng(4).normal(7, 0.1, (50, 3)).astype(np.float32)
    made.follow(tf.constant(vectors), tf.constant(0.0))
    assert np.abs(made.codes.numpy() - 7).max() < 0.5


def test_the_gradient_passes_as_if_nothing_had_been_replaced():
    vectors = tf.constant(np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32))
    made = book()
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        found = made(vectors)
        total = tf.reduce_sum(found * tf.constant([1.0, 2.0, 3.0]))
    codes = made.codes.numpy()
    np.testing.assert_allclose(found, codes[nearest_entries(vectors, codes).numpy()], atol=1e-6)
    np.testing.assert_array_equal(tape.gradient(total, vectors), np.tile([1.0, 2.0, 3.0], (4, 1)))


def test_maps_at_an_eighth_and_a_sixteenth_are_coded():
    coded = coded_points(feature_points(arch_spec("b0")))
    assert [point.stride for point in coded] == [8, 16]
    assert len(coded_points(feature_points(tiny_donor().spec))) == 2


@pytest.fixture(scope="module")
def trainer():
    options = PretrainOptions(methods=("vqvae",), epochs=6, batch_size=16, learning_rate=0.01)
    return Trainer(tiny_donor(), VqVae(options))


def data():
    images = quarters(96)[0]
    return TrainingData.of_images(images[:64], images[64:])


@pytest.fixture(scope="module")
def inputs(trainer):
    return Inputs(data(), tiny_donor(), trainer.objective, AugmentOptions(), seed=2)


@pytest.fixture(scope="module")
def whole(trainer, inputs):
    return fit_inputs(tiny_donor(), inputs, trainer)


def test_painting_from_codes_is_learnt_and_goes_on_after_a_kill_to_the_same_bits(
    trainer, inputs, whole, tmp_path
):
    losses = [record.train_loss for record in whole.history.epochs]
    assert losses[-1] < 0.9 * losses[0]
    assert whole.history.epochs[-1].validation["perplexity_share"] > 0.05
    wanted = whole.donor
    assert wanted.tensors.keys() == tiny_donor().tensors.keys() and not wanted.parts

    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        fit_inputs(tiny_donor(), inputs, trainer, state_file=state, watcher=KilledHalfWay())
    fit_inputs(tiny_donor(1), inputs, trainer)  # forget everything
    found = fit_inputs(tiny_donor(), inputs, trainer, state_file=state)
    assert found.donor.fingerprint == wanted.fingerprint
    assert [r.validation for r in found.history.epochs] == [
        r.validation for r in whole.history.epochs
    ]


def test_what_lies_behind_the_codes_stays(whole):
    found = whole.donor
    start = absorb_statistics(tiny_donor(), data().train_images, "all")
    for name in ("top_conv/kernel", "top_bn/gamma"):
        np.testing.assert_array_equal(found.tensors[name], start.tensors[name])
    assert not np.array_equal(found.tensors["stem_conv/kernel"], start.tensors["stem_conv/kernel"])


def test_the_codes_in_use_are_those_of_each_book_and_no_network_keeps_its_maps(
    trainer, whole, monkeypatch
):
    objective, images = trainer.objective, data().validation_images
    calls = count_image_calls(monkeypatch)
    found = objective.further_scores(np.zeros((32, 0)), trainer.predict, data())
    assert not calls
    _, _, *pairs = trainer.model(objective.scaled(images.astype(np.float32)), training=False)
    shares = []
    for book, vectors in zip(objective.books, pairs[::2], strict=True):
        flat, codes = np.asarray(vectors).reshape(-1, 64), book.codes.numpy()
        chosen = [int(np.argmin(((codes - vector) ** 2).sum(axis=1))) for vector in flat]
        shares.append(perplexity(np.array(chosen), ENTRIES) / ENTRIES)
    assert found["perplexity_share"] == pytest.approx(min(shares), rel=1e-6)
