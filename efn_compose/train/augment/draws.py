"""Random numbers that belong to an image: a hash of seed, epoch, image number and purpose.

An image's draws do not depend on the batch it is in, on its place there, on
threads, or on what else was drawn. (TensorFlow's stateless generators take one
seed per call; one call per image is what makes augmentation slow.)
"""

import zlib

import tensorflow as tf

_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35


class Draws:
    """Uniform draws for a batch of images.

    Args:
        numbers: (image,) integer numbers of the images.
        epoch: Which pass over the data.
        seed: Common to a training.

    Example:
        >>> draws = Draws(tf.range(4), epoch=0, seed=1)
        >>> draws.uniform("angle", 2).shape.as_list()
        [4, 2]
    """

    def __init__(self, numbers: tf.Tensor, epoch: tf.Tensor | int, seed: tf.Tensor | int) -> None:
        start = _hash(tf.cast(seed, tf.int64) + 1)
        start = _hash(start + _GOLDEN * (tf.cast(epoch, tf.int64) + 1))
        self._state = _hash(start + _MIX_1 * (tf.cast(numbers, tf.int64) + 1))

    def uniform(
        self, purpose: str, count: int = 1, low: float = 0.0, high: float = 1.0
    ) -> tf.Tensor:
        """Return (image, count) float32, uniform in [low, high); a purpose names its own draws."""
        key = zlib.crc32(purpose.encode())
        slots = tf.range(count, dtype=tf.int64)[None] * _MIX_2 + key
        bits = _hash(_hash(tf.bitwise.bitwise_xor(self._state[:, None], _hash(slots))) + _GOLDEN)
        unit = tf.cast(_shifted(bits, 8), tf.float32) / float(1 << 24)
        return low + unit * (high - low)

    def happens(self, purpose: str, probability: float) -> tf.Tensor:
        """Return (image,) bool, true with a probability."""
        return self.uniform(purpose)[:, 0] < probability


def _hash(values: tf.Tensor) -> tf.Tensor:
    """Return the finaliser of MurmurHash3 of 32-bit values held in int64."""
    mask = tf.constant(0xFFFFFFFF, tf.int64)
    values = tf.bitwise.bitwise_and(values, mask)
    values = tf.bitwise.bitwise_xor(values, _shifted(values, 16))
    values = tf.bitwise.bitwise_and(values * _MIX_1, mask)
    values = tf.bitwise.bitwise_xor(values, _shifted(values, 13))
    values = tf.bitwise.bitwise_and(values * _MIX_2, mask)
    return tf.bitwise.bitwise_xor(values, _shifted(values, 16))


def _shifted(values: tf.Tensor, places: int) -> tf.Tensor:
    return tf.bitwise.right_shift(values, tf.constant(places, tf.int64))
