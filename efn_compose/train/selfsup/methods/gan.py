"""A generative adversarial network: the donor tells images from generated ones, and is kept.

Heads at several depths judge, as in Projected GAN (Sauer et al. 2021, arXiv:2111.01007); unlike
there the backbone below them learns. Both sides see views of their images alone (DiffAugment, Zhao et
al. 2020, arXiv:2006.10738), so that few images suffice. One update trains both sides.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from efn_compose.arch.feature_points import feature_points
from efn_compose.data.pixels import PixelArray
from efn_compose.donors import Donor
from efn_compose.train.augment.draws import Draws
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Predict, Seen
from efn_compose.train.selfsup.generator import NOISE, Noise, build_generator
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.views import draw_view
from efn_compose.train.selfsup.watched import Watched

#: Channels of a head.
_HEAD = 64
#: Finest maps that are judged, pixels of the image per position.
_FINEST = 4
#: Weight of the penalty per pixel of an image (Karras et al. 2020, for a batch of 64).
_PENALTY = 0.0002 / 64


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
        said = [layers.Dense(1, name="critic_top")(pooled)]
        for point in feature_points(self._donor.spec):
            if point.stride < _FINEST:
                continue
            name = f"critic_{point.stride}"
            x = layers.Conv2D(_HEAD, 1, activation="relu", name=f"{name}_first")(
                backbone.get_layer(point.layer).output
            )
            x = layers.Conv2D(1, 1, name=f"{name}_second")(x)
            said.append(layers.GlobalAveragePooling2D(name=f"{name}_pool")(x))
        self.generator = build_generator()
        generated = self.generator(Noise(name="generator_noise")(backbone.input))
        return [layers.Concatenate(name="critic_said")(said), generated]

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Draw heads and generator."""
        super().draw(model, donor, seed)
        self._seed.assign(seed)

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a view of each image."""
        draws = Draws(seen.numbers, seen.epoch, seen.seed)
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
        real = tf.cast(self.critic(pixels, training=False), tf.float32)
        made = tf.cast(self.critic(tf.stop_gradient(shown), training=False), tf.float32)
        critic = tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + made))
        side = tf.cast(tf.shape(pixels)[1], tf.float32)
        penalty = side * side * _PENALTY / 2 * tf.reduce_mean(gradient_penalty(self.critic, pixels))
        fooled = -tf.reduce_mean(self._held(shown))
        return tf.cast(count, tf.float32) * (critic + penalty + fooled)

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return how far apart the critic holds images and generated ones, and the penalty."""
        images = np.asarray(data.validation_images[:128], np.float32)
        pixels = tf.constant(self.scaled(images), tf.float32)
        made = self._generate(len(images), tf.constant([0, 0], tf.int64), images.shape[1])
        gap = tf.reduce_mean(self.critic(pixels, training=False)) - tf.reduce_mean(
            self.critic(self.scaled(made), training=False)
        )
        penalty = tf.reduce_mean(gradient_penalty(self.critic, pixels))
        return {"critic_gap": float(gap), "penalty": float(penalty)}

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

    def _held(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return what the critic says; its weights get no gradient of it."""
        weights = [tf.stop_gradient(v.value) for v in self.critic.trainable_variables]
        rest = [v.value for v in self.critic.non_trainable_variables]
        said, _ = self.critic.stateless_call(weights, rest, pixels, training=False)
        return tf.cast(said, tf.float32)


def gradient_penalty(critic: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
    """Return the squared length of the gradient of what a critic says of each image, (image,).

    Args:
        critic: From pixels to (image, depth); run as in use, not as in training.
        pixels: (image, size, size, 3), scaled.
    """
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        said = tf.reduce_sum(tf.reduce_mean(critic(pixels, training=False), axis=1))
    gradient = tape.gradient(said, pixels)
    return tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3))
