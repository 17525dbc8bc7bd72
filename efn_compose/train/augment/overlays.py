"""What lies on skin in dermoscopy but is not the lesion: hairs and rulers."""

import tensorflow as tf

from efn_compose.train.augment.draws import Draws

#: Most hairs on one image.
_HAIRS = 6


def _turned(draws: Draws, name: str, count: int, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return coordinates (image, count, height, width) along and across random directions."""
    shape = tf.shape(images)
    rows = tf.linspace(-1.0, 1.0, shape[1])[None, None, :, None]
    columns = tf.linspace(-1.0, 1.0, shape[2])[None, None, None]
    angle = draws.uniform(f"{name}_angle", count, 0.0, 2 * 3.141592653589793)[..., None, None]
    cos, sin = tf.cos(angle), tf.sin(angle)
    return columns * cos + rows * sin, rows * cos - columns * sin


def draw_hairs(images: tf.Tensor, draws: Draws, probability: float) -> tf.Tensor:
    """Return images (image, height, width, 3), some with dark, bent, thin hairs."""
    along, across = _turned(draws, "hair", _HAIRS, images)
    bend = draws.uniform("hair_bend", _HAIRS, -0.4, 0.4)[..., None, None]
    place = draws.uniform("hair_place", _HAIRS, -0.8, 0.8)[..., None, None]
    side = tf.cast(tf.shape(images)[1], tf.float32)
    width = draws.uniform("hair_width", _HAIRS, 0.6, 1.6)[..., None, None] / side
    distance = tf.abs(across - place - bend * along**2)
    ink = tf.clip_by_value(1.5 - distance / width, 0.0, 1.0)
    ink *= tf.cast(draws.uniform("hair_there", _HAIRS) < 0.6, tf.float32)[..., None, None]
    ink = tf.reduce_max(ink, axis=1)[..., None] * 0.85
    ink *= tf.cast(draws.happens("hairs", probability), tf.float32)[:, None, None, None]
    return images * (1 - ink) + tf.constant([40.0, 28.0, 20.0]) * ink


def draw_ruler(images: tf.Tensor, draws: Draws, probability: float) -> tf.Tensor:
    """Return images, some with the ticks of a ruler along one edge, every fifth longer."""
    along, across = _turned(draws, "ruler", 1, images)
    along, across = along[:, 0], across[:, 0]
    period = draws.uniform("ruler_period", 1, 0.08, 0.16)[..., None]
    ticks = along / period
    nearest = tf.round(ticks)
    side = tf.cast(tf.shape(images)[1], tf.float32)
    is_tick = tf.abs(ticks - nearest) * period < 1.2 / side
    length = tf.where(tf.math.floormod(nearest, 5.0) == 0, 0.22, 0.12)
    edge = draws.uniform("ruler_edge", 1, 0.7, 0.85)[..., None]
    ink = is_tick & (across > edge) & (across < edge + length)
    ink &= draws.happens("ruler", probability)[:, None, None]
    return tf.where(ink[..., None], 25.0, images)
