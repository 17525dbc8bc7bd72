"""A generative adversarial network: the donor tells images from generated ones, and is kept.

Heads at several depths judge, as in Projected GAN (Sauer et al. 2021, arXiv:2111.01007); unlike
there the backbone below them learns. Both sides see views of their images alone (DiffAugment, Zhao et
al. 2020, arXiv:2006.10738), so that few images suffice. One update trains both sides.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.donors import Donor
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment.draws import Draws
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Predict, Seen
from efn_compose.train.selfsup.adversarial.critic import (
    critic_heads,
    critic_loss,
    gradient_penalty,
    held,
)
from efn_compose.train.selfsup.adversarial.generator import NOISE, Noise, build_generator
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.views import OWN_DRAWS, draw_view
from efn_compose.train.selfsup.watched import Watched

#: Images that the critic is asked about after every epoch.
_ASKED = 128


class Gan(Watched):
    """A critic that is the donor with BatchNorm as it is in use, and a generator that is thrown away.

    BatchNorm does not take its statistics of a batch here: the donor's are absorbed from the images.
    So what the critic says of an image, and the penalty of its gradient there (Mescheder et al. 2018,
    arXiv:1801.04406), depend on that image alone.

    Args:
        pretrain: The method's settings.
        views: What both sides see of an image.

    Example:
        >>> Gan().picture_file
        'synthetic.png'
    """

    picture_file = "synthetic.png"
    watched_outputs = 1

    def __init__(
        self, pretrain: PretrainOptions | None = None, views: ViewOptions | None = None
    ) -> None:
        super().__init__(pretrain, views)
        self._seed = tf.Variable(0, dtype=tf.int64, trainable=False)

    def build(self, donor: Donor) -> keras.Model:
        """Build critic and generator as one network."""
        self._donor = donor
        model = super().build(donor)
        self.critic = keras.Model(model.input, model.outputs[1])
        return model

    def head(self, backbone: keras.Model, pooled: Any) -> list[Any]:
        """Return what the critic says at each depth, (image, depth), and generated images."""
        self.generator = build_generator()
        generated = self.generator(Noise(name="generator_noise")(backbone.input))
        return [critic_heads(backbone, pooled, self._donor.spec), generated]

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Draw heads and generator."""
        super().draw(model, donor, seed)
        self._seed.assign(seed)

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Remember the network, whose penalty is watched, too."""
        super().bind(model, average)
        self._penalty = self.asked(lambda pixels: gradient_penalty(self.critic, pixels))

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a view of each image."""
        draws = Draws(seen.numbers, seen.epoch, seen.seed + OWN_DRAWS)
        return draw_view(seen.pixels, draws, self.view_options), seen.targets

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the hinge losses of both sides and the penalty, once for each image."""
        count = tf.shape(targets)[0]
        moment = tf.cast(updates, tf.int64)
        generated = self._generate(count, tf.stack([self._seed, moment]), tf.shape(pixels)[1])
        draws = Draws(tf.range(count), moment, 1)
        shown = self.scaled(draw_view(generated, draws, self.view_options))
        critic = critic_loss(self.critic, pixels, shown)
        fooled = -tf.reduce_mean(held(self.critic, shown))
        return tf.cast(count, tf.float32) * (critic + fooled)

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return how far apart the critic holds images and generated ones, and the penalty."""
        images = data.validation_images[:_ASKED]
        made = self._generate(len(images), tf.constant([0, 0], tf.int64), images.shape[1]).numpy()
        said = predict(made)[:, -outputs.shape[1] :]
        # As many at once as a training step takes, which keeps maps for gradients, too.
        penalty = self._penalty(images, self.options.batch_size)
        return {
            "critic_gap": float(outputs[:_ASKED].mean() - said.mean()),
            "penalty": float(penalty.mean()),
        }

    def pictures(self, images: PixelArray) -> list[np.ndarray]:
        """Return images, and generated ones."""
        real = np.asarray(images[:], np.uint8)
        made = self._generate(len(real), tf.constant([0, 0], tf.int64), real.shape[1]).numpy()
        return [real, np.rint(np.clip(made, 0, 255)).astype(np.uint8)]

    def _generate(self, count: Any, seed: tf.Tensor, side: Any) -> tf.Tensor:
        """Return generated images (image, side, side, 3), 0-255."""
        noise = tf.random.stateless_normal((count, NOISE), tf.cast(seed, tf.int32))
        made = tf.image.resize(self.generator(noise, training=False), (side, side))
        return 255 * tf.nn.sigmoid(made)
