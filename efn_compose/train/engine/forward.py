"""A network asked about images: pixels scaled, passed in batches that suit their size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from efn_compose.arch import ArchSpec, Conventions
from efn_compose.models.memory import inference_batch
from efn_compose.models.traced_gradients import PIXELS, traced_once
from efn_compose.numerics.pixel_array import PixelArray


class Forward:
    """The traced way from images to a network's answers.

    A training scores its validation images through one, and a prediction asks through one. Equal
    weights, images and batches therefore give equal bits in both.

    Args:
        infer: From scaled pixels to answers (image, ...); traced once.
        spec: The network; with the images' size, it decides how many pass at once.
        conventions: Hold the scaling of pixels.
    """

    def __init__(
        self, infer: Callable[[tf.Tensor], tf.Tensor], spec: ArchSpec, conventions: Conventions
    ) -> None:
        self._spec, self._scaling = spec, conventions.preprocessing
        self._traced = traced_once(infer, PIXELS)

    def scaled(self, images: Any) -> tf.Tensor:
        """Return images, values 0-255, as the network wants them."""
        scaling = self._scaling
        mean, std = (tf.constant(values, tf.float32) for values in (scaling.mean, scaling.std))
        return (tf.cast(images, tf.float32) - mean) / std

    def __call__(self, images: PixelArray, batch_size: int = 0) -> np.ndarray:
        """Return the answers for images, float32 (image, ...).

        Args:
            images: RGB (image, height, width, 3), values 0-255.
            batch_size: Images per pass; 0: a number that suits their size.
        """
        batch = batch_size or inference_batch(self._spec, int(images.shape[1]))
        parts = [
            np.asarray(self._traced(self.scaled(images[start : start + batch])), np.float32)
            for start in range(0, len(images), batch)
        ]
        if parts:
            return np.concatenate(parts)
        shape = self._traced.get_concrete_function().output_shapes
        return np.zeros([length or 0 for length in shape], np.float32)
