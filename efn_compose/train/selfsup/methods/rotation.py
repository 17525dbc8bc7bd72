"""RotNet: by which of four quarter turns was the image turned?"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from efn_compose.errors import DataError
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Predict, Seen
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.watched import Watched

TURNS = 4
#: Updates after which something must have been learnt.
_PROBE = 50
#: Standard errors above a guess that count as something.
_SURE = 3.0


class Rotation(Watched):
    """Gidaris, Singh and Komodakis 2018, arXiv:1803.07728; one linear layer of four classes.

    Images that have no up (cells, lesions, satellites) cannot be learnt by it. So it is a probe of
    itself: after 50 updates it must answer better than a guess, or it ends.

    Example:
        >>> Rotation().views
        1
    """

    watched_outputs = 1

    def head(self, backbone: keras.Model, pooled: Any) -> list[Any]:
        """Return logits (image, turn)."""
        return [layers.Dense(TURNS, name="predictor_turn")(pooled)]

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return each image under all four turns; all images of a turn follow each other."""
        return turned(seen.pixels), seen.targets

    def __init__(
        self, pretrain: PretrainOptions | None = None, views: ViewOptions | None = None
    ) -> None:
        super().__init__(pretrain, views)
        self._made = tf.Variable(0.0, trainable=False)

    def variables(self) -> list[Any]:
        """Return the number of updates."""
        return [self._made]

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the cross-entropy of the turns, its mean over the turns summed over the images."""
        self._made.assign(updates + 1)
        logits = tf.cast(model(pixels, training=True)[1], tf.float32)
        wanted = tf.repeat(tf.range(TURNS), tf.shape(targets)[0])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=logits)
        return tf.reduce_sum(losses) / TURNS

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return the share of turns that are told.

        Raises:
            DataError: It is no better than a guess although 50 updates were made.
        """
        right = [float((outputs.argmax(axis=1) == 0).mean())]
        images = np.asarray(data.validation_images[:])
        for turns in range(1, TURNS):
            answers = predict(np.rot90(images, turns, axes=(1, 2)))
            right.append(float((answers[:, -TURNS:].argmax(axis=1) == turns).mean()))
        accuracy = float(np.mean(right))
        guess = 1 / TURNS
        bound = guess + _SURE * (guess * (1 - guess) / len(outputs)) ** 0.5
        made = int(self._made.numpy())
        if accuracy < bound and made >= _PROBE:
            raise DataError(
                f"rotation: {accuracy:.0%} of the turns of {len(outputs)} images are told after "
                f"{made} updates, and a guess tells {guess:.0%}. These images have no up, or none "
                "that can be learnt. Take another method, such as vicreg."
            )
        return {"rotation": accuracy}


def turned(pixels: tf.Tensor) -> tf.Tensor:
    """Return images turned by 0, 90, 180 and 270 degrees, one turn after another.

    Args:
        pixels: (image, size, size, 3).
    """
    transposed = tf.transpose(pixels, (0, 2, 1, 3))
    views = (pixels, transposed[:, ::-1], pixels[:, ::-1, ::-1], transposed[:, :, ::-1])
    return tf.concat(views, axis=0)
