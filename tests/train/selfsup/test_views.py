"""Views: rectangles inside the image, colours as asked for, draws of the image alone."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from efn_compose.errors import ConfigError
from efn_compose.train.augment.draws import Draws
from efn_compose.train.selfsup.options import METHODS, PretrainOptions, ViewOptions
from efn_compose.train.selfsup.views import blurred, crop_map, draw_view

# The first call of each operation is slow.
pytestmark = pytest.mark.slow

STILL = ViewOptions(
    crop=1.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grey=0.0, blur=0.0
)


def draws(count=400, seed=1):
    return Draws(tf.range(count), 0, seed)


def images(count=6, side=16):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, side, side, 3)).astype(np.float32)


def test_a_crop_is_a_rectangle_inside_the_image_of_the_area_asked_for():
    found = crop_map(draws(), 0.3).numpy()
    width, height, x, y = found[:, 0, 0], found[:, 1, 1], found[:, 0, 2], found[:, 1, 2]
    assert (np.abs(x) + width <= 1 + 1e-6).all() and (np.abs(y) + height <= 1 + 1e-6).all()
    area = width * height
    assert 0.25 < area.min() < 0.33 and area.max() > 0.9
    assert (np.abs(np.log(width / height)) <= np.log(4 / 3) + 1e-6).all()
    # Spread over the places that are free.
    free = width < 0.8
    assert np.abs((x[free] / (1 - width[free])).mean()) < 0.1
    assert (found[:, [0, 1], [1, 0]] == 0).all()


def test_a_crop_shows_what_is_there():
    """A linear ramp stays one under any crop: its ends are the crop's edges."""
    side = 33
    ramp = np.broadcast_to(np.linspace(0, 200, side)[None, None, :, None], (20, side, side, 3))
    seen = draw_view(tf.constant(ramp, tf.float32), draws(20), ViewOptions(crop=0.3, **OFF)).numpy()
    maps = crop_map(draws(20), 0.3).numpy()
    ends = 100 + 100 * (maps[:, 0, 2, None] + maps[:, 0, 0, None] * np.array([-1, 1]))
    np.testing.assert_allclose(seen[:, 5][:, [0, -1], 0], ends, atol=0.01)


OFF = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0}


def test_nothing_asked_for_is_nothing_changed():
    x = images()
    np.testing.assert_allclose(draw_view(tf.constant(x), draws(6), STILL), x, atol=1e-3)


def test_grey_keeps_brightness_and_no_colour():
    x = images()
    seen = draw_view(
        tf.constant(x), draws(6), ViewOptions(crop=1.0, **{**OFF, "grey": 1.0})
    ).numpy()
    grey = x @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(seen, np.repeat(grey[..., None], 3, axis=-1), atol=1e-2)


def test_a_share_of_images_keeps_its_colours():
    flat = np.full((400, 4, 4, 3), (200.0, 100.0, 50.0), np.float32)
    options = ViewOptions(crop=1.0, grey=0.0, blur=0.0)
    seen = draw_view(tf.constant(flat), draws(), options).numpy()
    kept = (np.abs(seen - flat) < 1e-2).all(axis=(1, 2, 3)).mean()
    assert abs(kept - (1 - options.jitter)) < 0.06


def test_the_blur_is_a_gaussian_of_one_pixel():
    x = images(2, 20)
    wanted = gaussian_filter(x, sigma=(0, 1, 1, 0), mode="reflect", truncate=2.0)
    np.testing.assert_allclose(blurred(tf.constant(x)), wanted, atol=1e-2)


def test_a_view_belongs_to_the_image_not_to_its_batch():
    x = images()
    whole = draw_view(tf.constant(x), draws(6), ViewOptions()).numpy()
    alone = draw_view(tf.constant(x[4:5]), Draws(tf.constant([4]), 0, 1), ViewOptions()).numpy()
    np.testing.assert_allclose(alone[0], whole[4], atol=1e-3)
    other = draw_view(tf.constant(x), draws(6, seed=2), ViewOptions()).numpy()
    assert np.abs(other - whole).max() > 10


def test_methods_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=f"allowed {', '.join(METHODS)}.* Received: vicrag"):
        PretrainOptions(methods=("vicrag",))
    with pytest.raises(ConfigError, match="Received: none"):
        PretrainOptions(methods=())
    with pytest.raises(ConfigError, match="each once"):
        PretrainOptions(methods=("byol", "byol"))
