"""Mixing pairs of images and their labels, and the loss of AugMix.

MixUp: Zhang et al. 2018, arXiv:1710.09412. CutMix: Yun et al. 2019,
arXiv:1905.04899. AugMix: Hendrycks et al. 2020, arXiv:1912.02781.

Masks: CutMix pastes the other image's classes with its pixels. MixUp and AugMix leave no pixel with one
class: they lay images, and differently moved copies of one, over one another.
"""

import tensorflow as tf

from efn_compose.train.augment.colour import apply_colour, colour_identity
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.geometry import identity, resample
from efn_compose.train.augment.randaugment import compose_operations


def beta_shares(seed: tf.Tensor, count: tf.Tensor, alpha: float) -> tf.Tensor:
    """Return (image,) draws from Beta(alpha, alpha) for a seed of two integers."""
    pair = tf.random.stateless_gamma((2, count), seed, alpha)
    return pair[0] / tf.maximum(pair[0] + pair[1], 1e-30)


def mixup(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return weighted means of each image and label with the next image of the batch.

    Args:
        images: (image, height, width, channel) float32.
        labels: (image, class) float32 that sum to 1.
        seed: (2,) integers.
        alpha: Of the Beta distribution; 0.2 is usual.
    """
    share = beta_shares(seed, tf.shape(images)[0], alpha)
    return _weighted(images, share), _weighted(labels, share)


def _weighted(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Return the weighted mean of each row and the next one of the batch."""
    wide = tf.reshape(share, (-1, *[1] * (len(values.shape) - 1)))
    return values * wide + tf.roll(values, 1, axis=0) * (1 - wide)


def cutmix(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images with a box of the next image; labels by the area the box really has."""
    box = _box(tf.shape(images), seed, alpha)
    area = tf.reduce_mean(tf.cast(box, tf.float32), axis=(1, 2))[:, None]
    mixed = tf.where(box[..., None], tf.roll(images, 1, axis=0), images)
    return mixed, labels * (1 - area) + tf.roll(labels, 1, axis=0) * area


def cutmix_masks(
    images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images with the box of `cutmix`, and masks with the same box of the next mask.

    Args:
        images: (image, height, width, channel).
        masks: (image, height, width) classes.
        seed: (2,) integers.
        alpha: Of the Beta distribution of areas; 1 is usual.
    """
    box = _box(tf.shape(masks), seed, alpha)
    pasted = tf.where(box[..., None], tf.roll(images, 1, axis=0), images)
    return pasted, tf.where(box, tf.roll(masks, 1, axis=0), masks)


def _box(shape: tf.Tensor, seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """Return which pixels come from the next image, (image, height, width) bool."""
    height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    side = tf.sqrt(1 - beta_shares(seed, shape[0], alpha))[:, None]
    centre = tf.random.stateless_uniform((2, shape[0], 1), seed + 1)
    rows, columns = tf.range(height)[None] + 0.5, tf.range(width)[None] + 0.5
    in_rows = tf.abs(rows - centre[0] * height) < side * height / 2
    in_columns = tf.abs(columns - centre[1] * width) < side * width / 2
    return in_rows[:, :, None] & in_columns[:, None]


def augmix(
    images: tf.Tensor, draws: Draws, strength: float = 0.3, chains: int = 3, name: str = "augmix"
) -> tf.Tensor:
    """Return images mixed with several differently augmented copies of themselves.

    Weights of the chains are Dirichlet(1), the share of the original uniform, as in the paper.

    Args:
        images: (image, height, width, 3) float32, 0-255.
        draws: The images' draws.
        strength: Of the chains' operations, 0 to 1.
        chains: Copies.
        name: Another name gives another view of the same images.
    """
    count = tf.shape(images)[0]
    exponential = -tf.math.log(tf.maximum(draws.uniform(f"{name}_weights", chains), 1e-7))
    weights = exponential / tf.reduce_sum(exponential, axis=1, keepdims=True)
    mixed = tf.zeros_like(images)
    for chain in range(chains):
        space, turn, offset = compose_operations(
            draws,
            chain % 3 + 1,
            strength,
            identity(count),
            *colour_identity(count),
            name=f"{name}_{chain}",
        )
        view = apply_colour(resample(images, space), turn, offset)
        mixed += weights[:, chain, None, None, None] * view
    share = draws.uniform(f"{name}_share")[..., None, None]
    return images * share + mixed * (1 - share)


def consistency_loss(*logits: tf.Tensor) -> tf.Tensor:
    """Return the Jensen-Shannon divergence of several views' predictions, in nats, (image,).

    Args:
        logits: (image, class) each: of the image and of its views.

    Example:
        >>> float(consistency_loss(tf.constant([[1.0, 0.0]]), tf.constant([[1.0, 0.0]]))[0])
        0.0
    """
    logs = [tf.nn.log_softmax(view) for view in logits]
    # In logarithms, since a probability below 1e-38 is 0 in float32, and has none.
    mean = tf.reduce_logsumexp(tf.stack(logs), axis=0) - tf.math.log(float(len(logs)))
    parts = [tf.reduce_sum(tf.exp(view) * (view - mean), axis=1) for view in logs]
    return tf.maximum(tf.add_n(parts) / len(parts), 0.0)
