"""Augmentation: exact where an exact answer exists, distributed as stated, the same in any batch."""

import numpy as np
import pytest
import scipy.stats as stats
import tensorflow as tf

from efn_compose.errors import ConfigError
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.augment.colour import apply_colour, hue_turn, saturation
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.erase import punch_holes, shuffle_tiles
from efn_compose.train.augment.geometry import drawn_matrix, resample, rotation
from efn_compose.train.augment.mix import augmix, beta_shares, consistency_loss, cutmix, mixup
from efn_compose.train.augment.randaugment import OPERATIONS, chosen_operations

MUCH = AugmentOptions(flip_y=0.5, rotation=30, contrast=0.2, grid=0.5, holes=2, randaugment_ops=1)


def pictures(count: int = 6, side: int = 16) -> tf.Tensor:
    rng = np.random.default_rng(0)
    return tf.constant(rng.integers(0, 256, (count, side, side, 3)), tf.uint8)


@pytest.mark.slow
def test_an_image_is_augmented_alike_in_any_batch_and_in_tf_data():
    images, numbers = pictures(), tf.range(100, 106)
    whole = augment(images, numbers, MUCH, seed=3, epoch=2).numpy()
    order = [4, 1, 5]
    some = augment(tf.gather(images, order), tf.gather(numbers, order), MUCH, seed=3, epoch=2)
    np.testing.assert_allclose(some.numpy(), whole[order], atol=0.01)
    # Each image twice, in other batches and other places.
    twice = [0, 1, 2, 3, 4, 5, 3, 5, 0, 4, 2, 1]
    data = tf.data.Dataset.from_tensor_slices((tf.gather(images, twice), tf.gather(numbers, twice)))
    data = data.batch(5).map(lambda x, n: augment(x, n, MUCH, seed=3, epoch=2))
    seen = np.concatenate(list(data.as_numpy_iterator()))
    again = np.concatenate(list(data.as_numpy_iterator()))
    np.testing.assert_array_equal(seen, again)
    # Another place in a batch is another lane of the processor: the last bits of a sine.
    np.testing.assert_allclose(seen[:6], seen[6:][np.argsort(twice[6:])], atol=0.01)
    # A graph rounds otherwise than eager calls do, in the last bits.
    np.testing.assert_allclose(seen[:6], whole, atol=0.01)
    assert whole.min() >= 0 and whole.max() <= 255
    for change in ({"seed": 4, "epoch": 2}, {"seed": 3, "epoch": 1}):
        other = augment(images, numbers, MUCH, **change).numpy()
        assert (other != whole).any(axis=(1, 2, 3)).all()


def test_draws_are_uniform_and_independent_of_each_other():
    draws = Draws(tf.range(20_000), 0, 1)
    columns = draws.uniform("a", 3).numpy().T
    columns = [*columns, draws.uniform("b")[:, 0].numpy()]
    columns.append(Draws(tf.range(20_000), 1, 1).uniform("a")[:, 0].numpy())
    columns.append(Draws(tf.range(20_000), 0, 2).uniform("a")[:, 0].numpy())
    for column in columns:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    # Five standard errors of a correlation of independent values.
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)
    neighbours = columns[0]
    assert abs(np.corrcoef(neighbours[1:], neighbours[:-1])[0, 1]) < 5 / np.sqrt(20_000)


def test_flips_happen_as_often_as_asked_and_are_exact():
    images = tf.repeat(pictures(1), 4000, axis=0)
    options = AugmentOptions(flip_x=0.3, flip_y=0.0)
    seen = augment(images, tf.range(4000), options, seed=1).numpy()
    original = images[0].numpy().astype(np.float32)
    mirrored = (seen == original[:, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (seen == original).all(axis=(1, 2, 3))).all()
    assert stats.binomtest(int(mirrored.sum()), 4000, 0.3).pvalue > 1e-3


@pytest.mark.parametrize(("angle", "turns"), [(90.0, 1), (180.0, 2), (270.0, 3)])
def test_quarter_turns_are_those_of_numpy(angle, turns):
    image = tf.cast(pictures(1), tf.float32)
    seen = resample(image, rotation(tf.constant([angle])))[0].numpy()
    np.testing.assert_allclose(seen, np.rot90(image[0].numpy(), turns), atol=0.1)


def test_hue_permutes_the_primaries_and_keeps_grey():
    turn = hue_turn(tf.constant([1 / 3]))
    zero = tf.zeros((1, 3))
    red, green, grey = ([[[[200.0, 0, 0]]]], [[[[0, 200.0, 0]]]], [[[[90.0, 90, 90]]]])
    moved = apply_colour(tf.constant(red), turn, zero)
    np.testing.assert_allclose(moved, green, atol=1e-3)
    np.testing.assert_allclose(apply_colour(tf.constant(grey), turn, zero), grey, atol=1e-3)
    flat = apply_colour(tf.constant(red), saturation(tf.constant([0.0])), zero).numpy()
    np.testing.assert_allclose(flat, 0.299 * 200, atol=1e-3)


def test_every_image_draws_its_own_operations_each_equally_often():
    choice = chosen_operations(Draws(tf.range(20_000), 0, 5), 2).numpy()
    counts = np.bincount(choice.ravel(), minlength=len(OPERATIONS))
    assert stats.chisquare(counts).pvalue > 1e-3
    pairs = np.zeros((len(OPERATIONS),) * 2)
    np.add.at(pairs, (choice[:, 0], choice[:, 1]), 1)
    assert stats.chi2_contingency(pairs).pvalue > 1e-3


def test_a_hole_covers_what_geometry_says():
    images = tf.zeros((4000, 20, 20, 3))
    seen = punch_holes(images, Draws(tf.range(4000), 0, 1), 1, 0.5).numpy()[..., 0] > 0
    # A window of half a side around a uniform centre covers 1/2 - 1/16 of the axis on average.
    share = seen.mean(axis=(1, 2))
    assert abs(share.mean() - 0.4375**2) < 5 * share.std() / np.sqrt(4000)
    # The middle row is covered if the centre is within a quarter: probability 1/2.
    middle = seen.any(axis=2)[:, 10]
    assert stats.binomtest(int(middle.sum()), 4000, 0.5).pvalue > 1e-3


def test_tiles_are_permuted_whole_each_place_equally_likely():
    tiles = np.arange(9).reshape(3, 3).repeat(2, 0).repeat(2, 1)
    images = tf.constant(np.broadcast_to(tiles[None, ..., None], (3000, 6, 6, 1)), tf.float32)
    seen = shuffle_tiles(images, Draws(tf.range(3000), 0, 1), 3, 1.0).numpy()[..., 0]
    assert (seen[:, ::2, ::2] == seen[:, 1::2, 1::2]).all()
    places = seen[:, ::2, ::2].reshape(3000, 9)
    assert (np.sort(places, axis=1) == np.arange(9)).all()
    assert stats.chisquare(np.bincount(places[:, 0].astype(int), minlength=9)).pvalue > 1e-3
    with pytest.raises(ConfigError, match="grid_cells = 4 must divide"):
        shuffle_tiles(images, Draws(tf.range(3000), 0, 1), 4, 1.0)


def test_mixing_shares_follow_the_beta_distribution_and_labels_the_pixels():
    seed = tf.constant([1, 2])
    shares = beta_shares(seed, tf.constant(20_000), 0.4).numpy()
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 1e-3
    # Image i is white where class 1, black where class 0: the mean pixel is the label.
    labels = tf.one_hot([0, 1] * 32, 2)
    images = tf.tile(labels[:, 1][:, None, None, None], (1, 24, 24, 3))
    for mix in (mixup, cutmix):
        mixed, target = mix(images, labels, seed, 1.0)
        np.testing.assert_allclose(tf.reduce_mean(mixed, (1, 2, 3)), target[:, 1], atol=1e-5)
        assert 0.05 < float(tf.math.reduce_std(target)) < 0.5


def test_augmix_stays_between_its_views_and_the_loss_is_the_divergence():
    images = tf.cast(pictures(), tf.float32)
    draws = Draws(tf.range(6), 0, 1)
    one, two = augmix(images, draws), augmix(images, draws, name="second")
    assert float(tf.reduce_min(one)) >= 0 and float(tf.reduce_max(one)) <= 255.001
    assert (one.numpy() != two.numpy()).any()
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 5)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mean = p.mean(0)
    wanted = np.mean([stats.entropy(view, mean, axis=1) for view in p], axis=0)
    np.testing.assert_allclose(consistency_loss(*map(tf.constant, logits)), wanted, rtol=1e-4)


def test_the_divergence_of_answers_that_are_sure_is_finite_and_has_a_gradient():
    logits = np.array([[[0.0, 120.0, 3.0]], [[0.5, 130.0, 0.0]], [[150.0, 0.0, 2.0]]])
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    p = np.exp(logs)
    wanted = np.mean([stats.entropy(view, p.mean(0), axis=1) for view in p], axis=0)
    views = [tf.constant(view, tf.float32) for view in logits]
    with tf.GradientTape() as tape:
        tape.watch(views)
        found = consistency_loss(*views)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(found, views))


def test_strengths_are_uniform_in_the_ranges_they_are_documented_with():
    draws, count = Draws(tf.range(4000), 3, 8), tf.constant(4000)

    def matrices(**options):
        return drawn_matrix(draws, AugmentOptions(flip_x=0.0, **options), count).numpy()

    turned = matrices(rotation=30.0)
    angle = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    stretched = matrices(stretch=0.25)
    logs = np.log(stretched[:, (0, 1), (0, 1)]) / np.log(1.25)
    flat = tf.fill((4000, 2, 2, 3), 100.0)

    def seen(**options):
        found = augment(flat, tf.range(4000), AugmentOptions(flip_x=0.0, **options), seed=8)
        return found.numpy()[:, 0, 0, 0]

    cases = {
        "rotation": angle / 30,
        "stretch, width": logs[:, 0],
        "stretch, height": logs[:, 1],
        "brightness": (seen(brightness=0.1) - 100) / 25.5,
        "contrast": ((seen(contrast=0.2) - 127.5) / (100 - 127.5) - 1) / 0.2,
    }
    for name, values in cases.items():
        assert stats.kstest(values, stats.uniform(-1, 2).cdf).pvalue > 1e-3, name
    # The two sides are stretched independently.
    assert abs(np.corrcoef(logs.T)[0, 1]) < 5 / np.sqrt(4000)
    red = tf.tile(tf.constant([[[[200.0, 100.0, 100.0]]]]), (4000, 2, 2, 1))
    options = AugmentOptions(flip_x=0.0, hue=0.1)
    colours = augment(red, tf.range(4000), options, seed=8).numpy()[:, 0, 0]
    # The angle about the grey axis, from the red one.
    across = np.sqrt(3) / 2 * (colours[:, 1] - colours[:, 2])
    along = colours[:, 0] - (colours[:, 1] + colours[:, 2]) / 2
    share = np.arctan2(across, along) / (2 * np.pi)
    assert stats.kstest(share / 0.1, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_hairs_and_rulers_are_on_as_many_images_as_asked():
    images = tf.fill((1500, 24, 24, 3), 200.0)
    for name, share in (("hairs", 0.3), ("ruler", 0.4)):
        options = AugmentOptions(flip_x=0.0, **{name: share})
        seen = augment(images, tf.range(1500), options, seed=2).numpy()
        marked = (seen < 150).any(axis=(1, 2, 3))
        # Of six hairs each is there with probability 0.6: none at all is rare.
        there = share * (1 - 0.4**6 if name == "hairs" else 1)
        assert stats.binomtest(int(marked.sum()), 1500, there).pvalue > 1e-3, name
        # Thin things: they hide little of the image.
        assert (seen[marked] < 150).mean() < 0.35
