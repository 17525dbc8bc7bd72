"""The losses of masks, one definition each, for any number of classes.

All are of a batch and are summed over its images, so that a term of the whole batch counts once per image.
Pixels of `IGNORED` take part in none. The overlap losses sum over the images and pixels of the batch, per
class, and mean over the classes that the batch has: a class that is nowhere says nothing.
"""

from collections.abc import Callable

import tensorflow as tf

from efn_compose.data.masks.masks import IGNORED

#: From logits (image, height, width, class) float32 and masks (image, height, width) uint8 to the
#: sum over images.
MaskLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

#: Pixels that are added to both sides of an overlap, so that a class of few pixels is no cliff.
SMOOTHING = 1.0
FOCAL_GAMMA = 2.0
#: Tversky's weights of pixels that are found and not there, and that are there and not found.
FALSE_POSITIVE, FALSE_NEGATIVE = 0.3, 0.7


def cross_entropy(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of each image's pixels, in nats, summed over images.

    Example:
        >>> masks = tf.constant([[[0, 255]]], tf.uint8)
        >>> round(float(cross_entropy(tf.zeros((1, 1, 2, 2)), masks)), 4)
        0.6931
    """
    return tf.reduce_sum(_image_means(_pixel_entropy(logits, masks), masks))


def focal(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return cross-entropy with each pixel weighed by (1 - p)^2, p its class's probability.

    Lin et al. 2017 (arXiv:1708.02002).
    """
    entropy = _pixel_entropy(logits, masks)
    others = -tf.math.expm1(-entropy)
    return tf.reduce_sum(_image_means(entropy * others**FOCAL_GAMMA, masks))


def dice(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return 1 - Dice of soft masks (Milletari et al. 2016, arXiv:1606.04797).

    The paper squares the probabilities in the denominator; here they are summed as they are, as in
    `tversky` and most libraries.
    """
    return _overlap(logits, masks, 0.5, 0.5)


def tversky(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return 1 - Tversky's index, to which missed pixels matter more.

    Salehi et al. 2017 (arXiv:1706.05721).
    """
    return _overlap(logits, masks, FALSE_POSITIVE, FALSE_NEGATIVE)


def lovasz(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return Lovász's extension of 1 - IoU: hinge for two classes, softmax for more.

    Berman et al. 2018 (arXiv:1705.08790). It sorts all pixels of the batch for each class.
    """
    count = tf.cast(tf.shape(logits)[0], tf.float32)
    valid = tf.reshape(masks != IGNORED, (-1,))
    classes = int(logits.shape[-1])
    labels = tf.boolean_mask(tf.reshape(masks, (-1,)), valid)
    flat = tf.boolean_mask(tf.reshape(tf.cast(logits, tf.float32), (-1, classes)), valid)
    if classes == 2:
        there = tf.cast(labels == 1, tf.float32)
        errors = 1 - (flat[:, 1] - flat[:, 0]) * (2 * there - 1)
        return count * _extension(tf.nn.relu(errors), errors, there)
    shares = tf.nn.softmax(flat)
    parts, present = [], []
    for number in range(classes):
        there = tf.cast(labels == number, tf.float32)
        errors = tf.abs(there - shares[:, number])
        parts.append(_extension(errors, errors, there))
        present.append(tf.cast(tf.reduce_any(there > 0), tf.float32))
    return count * _mean_of_present(tf.stack(parts), tf.stack(present))


#: By name, as `objective.losses` gives them.
MASK_LOSSES: dict[str, MaskLoss] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "focal": focal,
    "tversky": tversky,
    "lovasz": lovasz,
}


def _pixel_entropy(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of each pixel (image, height, width), 0 where it is ignored."""
    is_valid = masks != IGNORED
    labels = tf.cast(tf.where(is_valid, masks, tf.zeros_like(masks)), tf.int32)
    logits = tf.cast(logits, tf.float32)
    found = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.where(is_valid, found, tf.zeros_like(found))


def _image_means(values: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return the mean over the pixels that count, (image,)."""
    counted = tf.reduce_sum(tf.cast(masks != IGNORED, tf.float32), axis=(1, 2))
    return tf.reduce_sum(values, axis=(1, 2)) / tf.maximum(counted, 1)


def _overlap(
    logits: tf.Tensor, masks: tf.Tensor, false_positive: float, false_negative: float
) -> tf.Tensor:
    """Return 1 - Tversky's index per class, mean over the classes present, times the images."""
    is_valid = tf.cast(masks != IGNORED, tf.float32)[..., None]
    there = tf.one_hot(tf.cast(masks, tf.int32), logits.shape[-1])  # of 255: nothing
    shares = tf.nn.softmax(tf.cast(logits, tf.float32)) * is_valid
    both, found, wanted = (
        tf.reduce_sum(part, axis=(0, 1, 2)) for part in (shares * there, shares, there)
    )
    missed, wrong = wanted - both, found - both
    denominator = both + false_positive * wrong + false_negative * missed + SMOOTHING
    losses = 1 - (both + SMOOTHING) / denominator
    count = tf.cast(tf.shape(logits)[0], tf.float32)
    return count * _mean_of_present(losses, tf.cast(wanted > 0, tf.float32))


def _mean_of_present(losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(losses * present) / tf.maximum(tf.reduce_sum(present), 1)


def _extension(errors: tf.Tensor, order_by: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """Return the sum of errors, sorted, times what each adds to 1 - IoU."""
    order = tf.argsort(order_by, direction="DESCENDING", stable=True)
    sorted_there = tf.gather(there, order)
    wanted = tf.reduce_sum(sorted_there)
    left = wanted - tf.cumsum(sorted_there)
    union = wanted + tf.cumsum(1 - sorted_there)
    jaccard = 1 - left / tf.maximum(union, 1)
    steps = jaccard - tf.concat([[0.0], jaccard[:-1]], axis=0)
    return tf.reduce_sum(tf.gather(errors, order) * tf.stop_gradient(steps))
