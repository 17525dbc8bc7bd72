"""Masks move as their images do: against images that encode their mask, and against scipy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from efn_compose.data.masks.masks import IGNORED
from efn_compose.train.augment import AugmentOptions, augment, augment_with_masks
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.geometry import drawn_matrix
from efn_compose.train.augment.mix import cutmix, cutmix_masks

COUNT, SIDE = 24, 32
#: Everything that moves pixels by resampling.
TURNS = AugmentOptions(flip_x=0.5, flip_y=0.5, rotation=90, stretch=0.4, randaugment_ops=2)
NUMBERS = np.arange(100, 100 + COUNT)


def blobs(seed=0):
    """Return masks (image, side, side) of three classes in smooth regions."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(COUNT, SIDE, SIDE, 3)), (0, 4, 4, 0))
    return fields.argmax(axis=-1).astype(np.uint8)


def encoded(masks):
    """Return images whose channel of the pixel's class is 240, all others 0."""
    return (240 * np.eye(3)[masks]).astype(np.uint8)


def moved(images, masks, options, seed=3, epoch=2):
    seen = augment_with_masks(images, masks, NUMBERS, options, seed=seed, epoch=epoch)
    return seen[0].numpy(), seen[1].numpy()


def test_a_mask_lies_where_its_image_lies():
    masks = blobs()
    # Without colour operations a pixel inside a region keeps its colour exactly, and the nearest
    # of four pixels has a quarter of the weight or more.
    plain = AugmentOptions(flip_x=0.5, flip_y=0.5, rotation=90, stretch=0.4)
    seen, found = moved(encoded(masks), masks, plain)
    known = found != IGNORED
    assert 0.3 < known.mean() < 1
    own = np.take_along_axis(seen, np.where(known, found, 0)[..., None], axis=-1)[..., 0]
    assert own[known].min() >= 60 - 0.1
    pure = seen.max(axis=-1) > 239.9
    assert pure.mean() > 0.5
    np.testing.assert_array_equal(found[pure & known], seen.argmax(axis=-1)[pure & known])
    # Without masks the images are the same, bit for bit.
    again = augment(encoded(masks), NUMBERS, plain, seed=3, epoch=2).numpy()
    np.testing.assert_array_equal(again, seen)


def test_the_nearest_class_is_scipys_and_beyond_the_edge_nothing_is_known():
    masks = blobs(1)
    _, found = moved(encoded(masks), masks, TURNS)
    draws = Draws(tf.constant(NUMBERS), 2, 3)
    space, *_ = _composed(draws)
    half = (SIDE - 1) / 2
    rows, columns = np.mgrid[:SIDE, :SIDE]
    points = np.stack([columns.ravel() / half - 1, rows.ravel() / half - 1, np.ones(SIDE**2)])
    for number in range(COUNT):
        x, y, w = space[number].astype(float) @ points
        where = np.stack([(y / w + 1) * half, (x / w + 1) * half])
        wanted = ndimage.map_coordinates(
            masks[number], where, order=0, mode="grid-constant", cval=IGNORED
        )
        # Which of two equally near pixels is taken is a matter of rounding.
        clear = (np.abs(where % 1 - 0.5) > 1e-3).all(axis=0)
        np.testing.assert_array_equal(found[number].ravel()[clear], wanted[clear])
        assert clear.mean() > 0.9


def _composed(draws):
    from efn_compose.train.augment.colour import drawn_colour
    from efn_compose.train.augment.randaugment import compose_operations

    count = tf.constant(COUNT)
    space = drawn_matrix(draws, TURNS, count)
    turn, offset = drawn_colour(draws, TURNS, count)
    strength = TURNS.randaugment_strength
    found = compose_operations(draws, TURNS.randaugment_ops, strength, space, turn, offset)
    return [part.numpy() for part in found]


@pytest.mark.parametrize(
    "options",
    [
        AugmentOptions(flip_x=0.5, flip_y=0.5),
        AugmentOptions(flip_x=0.0, grid=0.8, grid_cells=4),
        AugmentOptions(flip_x=0.5, grid=0.5, grid_cells=8),
    ],
)
def test_flips_and_tiles_move_every_pixel_with_its_class(options):
    rng = np.random.default_rng(4)
    masks = rng.integers(0, 255, (COUNT, SIDE, SIDE)).astype(np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images = np.stack([rows, columns, 0 * rows], axis=-1)[None].repeat(COUNT, 0).astype(np.uint8)
    seen, found = moved(images, masks, options)
    came_from = seen.astype(int)
    assert (came_from != images).any()
    number = np.arange(COUNT)[:, None, None]
    np.testing.assert_array_equal(found, masks[number, came_from[..., 0], came_from[..., 1]])


def test_nobody_is_asked_about_what_lies_in_a_hole():
    masks = blobs(2)
    options = AugmentOptions(flip_x=0.0, holes=2, hole_size=0.3)
    seen, found = moved(encoded(masks), masks, options)
    hidden = (seen == 127.5).all(axis=-1)
    assert 0.05 < hidden.mean() < 0.5
    np.testing.assert_array_equal(found, np.where(hidden, IGNORED, masks))


def test_colours_hairs_and_rulers_leave_a_mask_as_it_is():
    masks = blobs(3)
    options = AugmentOptions(
        flip_x=0.0, brightness=0.2, contrast=0.2, hue=0.1, hairs=1.0, ruler=1.0
    )
    seen, found = moved(encoded(masks), masks, options)
    assert np.abs(seen - encoded(masks)).max() > 50
    np.testing.assert_array_equal(found, masks)


def test_cutmix_pastes_the_classes_of_the_pixels_it_pastes():
    masks, seed = blobs(4), tf.constant([5, 6])
    images = tf.constant(encoded(masks), tf.float32)
    pasted, found = cutmix_masks(images, tf.constant(masks), seed, 1.0)
    assert (found.numpy() != masks).any()
    np.testing.assert_array_equal(pasted.numpy().argmax(axis=-1), found)
    # The box is that of a classification.
    np.testing.assert_array_equal(cutmix(images, tf.eye(COUNT), seed, 1.0)[0], pasted)
