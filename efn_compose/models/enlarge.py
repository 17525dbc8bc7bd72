"""Maps enlarged to the size of others: each position repeated, what is too much cut off.

A map of stride 2 has half as many positions as the finer one, rounded up. Repeating twice and cutting
is therefore the nearest neighbour at any size, odd ones too.
"""

from typing import Any

import keras
import tensorflow as tf


def enlarged(maps: tf.Tensor, times: int, like: tf.Tensor) -> tf.Tensor:
    """Return maps (image, height, width, channel) at the height and width of others.

    Args:
        maps: To be enlarged.
        times: How often a position is repeated, down and across.
        like: Maps of the wanted size.

    Example:
        >>> small = tf.reshape(tf.range(4.0), (1, 2, 2, 1))
        >>> enlarged(small, 2, tf.zeros((1, 3, 3, 1)))[0, :, :, 0].numpy().tolist()
        [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [2.0, 2.0, 3.0]]
    """
    shape, wanted = tf.shape(maps), tf.shape(like)
    count, height, width, channels = (shape[axis] for axis in range(4))
    spread = tf.broadcast_to(
        maps[:, :, None, :, None], (count, height, times, width, times, channels)
    )
    large = tf.reshape(spread, (count, height * times, width * times, channels))
    large = large[:, : wanted[1], : wanted[2]]
    return tf.ensure_shape(large, (None, *like.shape[1:3], maps.shape[-1]))


@keras.saving.register_keras_serializable(package="efn_compose")
class Enlarge(keras.layers.Layer):
    """`enlarged` as a layer of two inputs: the maps, and those of the wanted size.

    Args:
        times: How often a position is repeated, down and across.
        **settings: Of any layer.
    """

    def __init__(self, times: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.times = times

    def call(self, inputs: Any) -> Any:
        """Return the first input at the height and width of the second."""
        maps, like = inputs
        return enlarged(maps, self.times, like)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        maps, like = input_shape
        return (maps[0], like[1], like[2], maps[3])

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made from."""
        return {**super().get_config(), "times": self.times}
