"""VQ-VAE: an image is painted from a few hundred codes at two scales."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from efn_compose.arch import DecoderSpec
from efn_compose.arch.feature_points import FeaturePoint, feature_points
from efn_compose.donors import Donor
from efn_compose.models.unet import decoder_outputs
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.engine.fresh import fresh_kernel, head_generator
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Predict, Seen
from efn_compose.train.selfsup.codebook import Codebook, nearest_entries, perplexity
from efn_compose.train.selfsup.pixels import Painting

#: Entries of each codebook, and their dimensions.
ENTRIES, DIMENSIONS = 512, 64
#: Pixels per position of the two maps that are coded, where the network has such maps.
_STRIDES = (8, 16)
#: Weight of the distance that vectors keep to their entries.
_COMMITMENT = 0.25


class VqVae(Painting):
    """Van den Oord et al. 2017, arXiv:1711.00937, at two scales as Razavi et al. 2019 have them.

    The decoder reads codes of the maps at an eighth and a sixteenth of the image's side, and nothing
    else. What lies behind these maps stays as it is.

    Example:
        >>> VqVae().decoder.skips
        True
    """

    @property
    def decoder(self) -> DecoderSpec:
        """What paints: its skips are the codes."""
        return DecoderSpec("mirror", self.channels)

    def head(self, backbone: keras.Model, pooled: Any) -> list[Any]:
        """Return what is painted; then vectors and entries of each scale."""
        spec = self._donor.spec.with_decoder(self.decoder)
        coded = coded_points(feature_points(spec))
        instead, pairs, self.books = {}, [], []
        for point in feature_points(spec):
            stream = backbone.get_layer(point.layer).output
            if point not in coded:
                instead[point.layer] = keras.ops.zeros_like(stream)
                continue
            name = f"decoder_codes{point.stride}"
            book = Codebook(ENTRIES, DIMENSIONS, name)
            vectors = layers.Conv2D(DIMENSIONS, 1, name=f"{name}_in")(stream)
            entries = book(vectors)
            instead[point.layer] = layers.Conv2D(point.channels, 1, name=f"{name}_out")(entries)
            pairs += [vectors, entries]
            self.books.append(book)
        painted = decoder_outputs(backbone, spec, self._donor.conventions, instead)
        return [painted, *pairs]

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Draw decoder, codebooks, and the convolutions around these."""
        super().draw(model, donor, seed)
        generator = head_generator(seed)
        for book in self.books:
            for side in ("in", "out"):
                layer = model.get_layer(f"{book.name}_{side}")
                kernel = fresh_kernel(layer.kernel.shape[2:], generator)
                layer.kernel.assign(kernel[None, None])
                layer.bias.assign(np.zeros(layer.bias.shape, np.float32))
            book.draw(generator)

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Remember the network, whose codes are watched, too."""
        super().bind(model, average)
        self._coded = self.asked(self._entries)

    def _entries(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return the entries' numbers, (image, position); each book's follow those of the one before."""
        _, _, *pairs = self._model(pixels, training=False)
        found = [
            number * ENTRIES + nearest_entries(vectors, tf.convert_to_tensor(book.codes.value))
            for number, (book, vectors) in enumerate(zip(self.books, pairs[::2], strict=True))
        ]
        return tf.concat([tf.reshape(part, (tf.shape(pixels)[0], -1)) for part in found], axis=1)

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images, and what to paint, 0 to 1."""
        return seen.pixels, seen.pixels / 255

    def painted_loss(self, painted: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """Return the mean absolute difference."""
        return tf.reduce_mean(tf.abs(painted - wanted), axis=(1, 2, 3))

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the loss of painting, and the distance of vectors to their entries."""
        _, painted, *pairs = model(pixels, training=True)
        found = self.painted_loss(painted, targets)
        for book, vectors, entries in zip(self.books, pairs[::2], pairs[1::2], strict=True):
            far = tf.square(vectors - tf.stop_gradient(entries))
            found += _COMMITMENT * tf.reduce_mean(far, axis=(1, 2, 3))
            book.follow(vectors, updates)
        return tf.reduce_sum(found)

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return the smaller share of entries in use of the two codebooks."""
        book, entry = np.divmod(self._coded(data.validation_images).astype(int), ENTRIES)
        shares = [
            perplexity(entry[book == number], ENTRIES) / ENTRIES
            for number in range(len(self.books))
        ]
        return {"perplexity_share": min(shares)}

    def pictures(self, images: PixelArray) -> list[np.ndarray]:
        """Return images as they are, and what is painted from their codes."""
        pixels = np.asarray(images[:], np.float32)
        painted = np.clip(255 * self.painted(pixels), 0, 255)
        return [np.rint(row).astype(np.uint8) for row in (pixels, painted, pixels)]


def coded_points(points: tuple[FeaturePoint, ...]) -> list[FeaturePoint]:
    """Return the feature points that are coded: strides 8 and 16, or the coarsest two.

    Args:
        points: From fine to coarse.
    """
    found = [point for point in points if point.stride in _STRIDES]
    return found if len(found) == len(_STRIDES) else list(points[-2:])
