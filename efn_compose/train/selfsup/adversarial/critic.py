"""A critic on the donor's feature maps: heads at several depths, its penalty, and its losses.

BatchNorm stands at the statistics that the donor absorbed from the images, so that a penalty belongs to
one image. GroupNorm would do so, too, but its weights can be neither composed nor nested, and a critic is
trained to become a donor.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from efn_compose.arch import ArchSpec
from efn_compose.arch.feature_points import feature_points

#: Channels of a head.
_HEAD = 64
#: Finest maps that are judged, pixels of the image per position.
_FINEST = 4
#: Weight of the penalty per pixel of an image (Karras et al. 2020, for a batch of 64).
_PENALTY = 0.0002 / 64


def critic_heads(backbone: keras.Model, pooled: Any, spec: ArchSpec, name: str = "critic") -> Any:
    """Return what a critic says at each depth, (image, depth), a Keras tensor.

    Args:
        backbone: Its layers have canonical names.
        pooled: (image, feature), its pooled features.
        spec: The network.
        name: Prefix of the heads' layers.
    """
    said = [layers.Dense(1, name=f"{name}_top")(pooled)]
    for point in feature_points(spec):
        if point.stride < _FINEST:
            continue
        x = layers.Conv2D(_HEAD, 1, activation="relu", name=f"{name}_{point.stride}_first")(
            backbone.get_layer(point.layer).output
        )
        x = layers.Conv2D(1, 1, name=f"{name}_{point.stride}_second")(x)
        said.append(layers.GlobalAveragePooling2D(name=f"{name}_{point.stride}_pool")(x))
    return layers.Concatenate(name=f"{name}_said")(said)


def critic_loss(critic: keras.Model, pixels: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Return a critic's hinge loss and the penalty of its gradient at the images, a mean.

    Args:
        critic: From pixels to (image, depth).
        pixels: (image, size, size, 3), scaled: the images.
        made: The same of generated ones; nothing is learnt of how they came about.
    """
    real = tf.cast(critic(pixels, training=False), tf.float32)
    fake = tf.cast(critic(tf.stop_gradient(made), training=False), tf.float32)
    hinge = tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))
    side = tf.cast(tf.shape(pixels)[1], tf.float32)
    return hinge + side * side * _PENALTY / 2 * tf.reduce_mean(gradient_penalty(critic, pixels))


def held(critic: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
    """Return what a critic says, (image, depth); its weights get no gradient of it.

    Args:
        critic: From pixels to (image, depth).
        pixels: (image, size, size, 3), scaled.
    """
    weights = [tf.stop_gradient(v.value) for v in critic.trainable_variables]
    rest = [v.value for v in critic.non_trainable_variables]
    said, _ = critic.stateless_call(weights, rest, pixels, training=False)
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
