"""The losses of self-supervision as functions of two views' outputs, each a mean over images."""

import tensorflow as tf

#: Added to a variance before its root, as in the paper of VICReg.
_EPSILON = 1e-4


def vicreg_loss(
    first: tf.Tensor,
    second: tf.Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> tf.Tensor:
    """Return the loss of VICReg (Bardes, Ponce and LeCun 2021, arXiv:2105.04906).

    Views of one image lie close, every dimension keeps a standard deviation of 1 over the batch,
    and dimensions do not repeat each other.

    Args:
        first: (image, dimension) of one view; two images or more.
        second: (image, dimension) of the other.
        invariance: Weight of the mean squared distance.
        variance: Weight of what is missing to a standard deviation of 1.
        covariance: Weight of the squared covariances, summed and divided by the dimensions.

    Returns:
        Scalar.

    Example:
        >>> round(float(vicreg_loss(tf.zeros((2, 3)), tf.zeros((2, 3)), variance=1.0)), 4)
        0.99
    """
    views = (first, second)
    spread = tf.add_n([tf.reduce_mean(tf.nn.relu(1 - _deviation(view))) for view in views]) / 2
    repeated = tf.add_n([_covariances(view) for view in views])
    distance = tf.reduce_mean(tf.square(first - second))
    return invariance * distance + variance * spread + covariance * repeated


def simclr_loss(first: tf.Tensor, second: tf.Tensor, temperature: float = 0.2) -> tf.Tensor:
    """Return the loss of SimCLR (Chen et al. 2020, arXiv:2002.05709).

    Of all other views in the batch, each view has to find the other view of its image.

    Args:
        first: (image, dimension) of one view.
        second: (image, dimension) of the other.
        temperature: What cosines are divided by.

    Returns:
        Scalar.

    Example:
        >>> round(float(simclr_loss(tf.eye(2), tf.eye(2), temperature=1.0)), 3)
        0.551
    """
    count = tf.shape(first)[0]
    outputs = tf.math.l2_normalize(tf.concat([first, second], axis=0), axis=1)
    cosines = tf.matmul(outputs, outputs, transpose_b=True) / temperature
    itself = tf.eye(2 * count, dtype=cosines.dtype)
    partners = tf.concat([tf.range(count, 2 * count), tf.range(count)], axis=0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=partners, logits=cosines - itself * cosines.dtype.max**0.5
    )
    return tf.reduce_mean(losses)


def cosine_loss(predicted: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Return minus the mean cosine, the loss of SimSiam; BYOL's is twice this plus 2.

    Grill et al. 2020, arXiv:2006.07733; Chen and He 2020, arXiv:2011.10566.

    Args:
        predicted: (image, dimension).
        wanted: (image, dimension); stop its gradient before.

    Returns:
        Scalar, -1 to 1.

    Example:
        >>> float(cosine_loss(tf.constant([[2.0, 0.0]]), tf.constant([[3.0, 0.0]])))
        -1.0
    """
    one, other = (tf.math.l2_normalize(values, axis=1) for values in (predicted, wanted))
    return -tf.reduce_mean(tf.reduce_sum(one * other, axis=1))


def _deviation(view: tf.Tensor) -> tf.Tensor:
    """Return the standard deviation of each dimension, with n - 1."""
    return tf.sqrt(tf.reduce_sum(tf.square(_centred(view)), axis=0) / _less_one(view) + _EPSILON)


def _covariances(view: tf.Tensor) -> tf.Tensor:
    """Return the squared covariances between dimensions, summed and divided by the dimensions."""
    centred = _centred(view)
    matrix = tf.matmul(centred, centred, transpose_a=True) / _less_one(view)
    squares = tf.reduce_sum(tf.square(matrix)) - tf.reduce_sum(
        tf.square(tf.linalg.diag_part(matrix))
    )
    return squares / tf.cast(tf.shape(view)[1], view.dtype)


def _centred(view: tf.Tensor) -> tf.Tensor:
    return view - tf.reduce_mean(view, axis=0, keepdims=True)


def _less_one(view: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.shape(view)[0] - 1, view.dtype)
