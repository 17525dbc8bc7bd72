"""Re-estimate a Keras model's BatchNorm statistics, without an optimizer and without a moving average.

After training, moving averages lag behind the weights; after 60 steps at momentum
0.99 more than half of the old statistics is still there. Averaging the statistics
of some batches with equal weight ("precise BN", Wu and Johnson 2021,
arXiv:2105.07576) is the cheapest gain there is.

Two passes do so. `recalibrate` goes from batch to batch and joins their moments, the spread
between batches included. `recalibrate_traced` stays on the device, inside one traced function: each
batch counts alike, and the spread between batches is left out. The first serves any model; the
second serves a search, which re-estimates thousands of times.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.errors import DataError
from efn_compose.numerics.moments import ChannelMoments, joined
from efn_compose.numerics.pixel_array import PixelArray


def recalibrate(
    model: keras.Model,
    inputs: PixelArray,
    *,
    batch_size: int = 128,
    forward: Callable[[np.ndarray], Any] | None = None,
    keeps_frozen: bool = False,
) -> None:
    """Give every BatchNorm of a model the statistics of some images; weights stay as they are.

    Each batch passes in training mode with dropout and stochastic depth off.
    The variance counts the spread between batches. With a batch that holds all
    images the statistics are exact, each layer seeing re-estimated ones before it.

    Args:
        model: Any Keras model; its BatchNorm layers are changed in place.
        inputs: (image, height, width, 3), preprocessed; 500 to 2,000 training images.
        batch_size: Images per batch; small batches bias the statistics of late layers.
        forward: Passes a batch of `inputs` through the model in training mode, such as a
            `tf.function` that is used nowhere else: traced here, with dropout off, it stays so.
        keeps_frozen: Whether a frozen BatchNorm keeps its statistics, and is run on them.

    Raises:
        DataError: There are fewer than two images.

    Example:
        >>> recalibrate(model, donor.preprocess(train_images[:1000]))  # doctest: +SKIP
    """
    if len(inputs) < 2:
        raise DataError(f"Statistics need at least two images. Received: {len(inputs)}.")
    norms = _norms(model, keeps_frozen)
    if not norms:
        return
    run = forward or (lambda batch: model(batch, training=True))
    parts: list[list[ChannelMoments]] = [[] for _ in norms]
    passes = passes_in_training_mode(
        model, inputs, batch_size=batch_size, forward=run, keeps_frozen=keeps_frozen
    )
    for images, _ in passes:
        for layer, found in zip(norms, parts, strict=True):
            found.append(_present(layer, images))
    for layer, found in zip(norms, parts, strict=True):
        moments = joined(found)
        layer.moving_mean.assign(moments.mean)
        layer.moving_variance.assign(moments.variance)


def passes_in_training_mode(
    model: keras.Model,
    inputs: PixelArray,
    *,
    batch_size: int,
    forward: Callable[[np.ndarray], Any],
    keeps_frozen: bool = False,
) -> Iterator[tuple[int, Any]]:
    """Yield how many images passed as a batch, and the answer, with dropout and stochastic depth off.

    Each BatchNorm then holds the statistics of that batch alone; the last one's stay in the model.

    Args:
        model: Any Keras model.
        inputs: (image, height, width, 3), two or more.
        batch_size: About how many images pass at once; never one alone.
        forward: Passes a batch of `inputs` through the model in training mode.
        keeps_frozen: As for `recalibrate`.
    """
    with _batch_statistics_only(model, _norms(model, keeps_frozen)):
        for batch in _batches(inputs, batch_size):
            yield len(batch), forward(batch)


def recalibrate_traced(
    forward: Callable[[tf.Tensor], Any],
    batches: tf.Tensor,
    momentum: tf.Variable,
    done: tf.Tensor | int = 0,
) -> None:
    """Give every BatchNorm the mean of the batches' own statistics, inside a traced function.

    Args:
        forward: Passes the batch of a number, an int32 scalar, through the network in training mode.
        batches: Their number, int32 scalar.
        momentum: What the network's BatchNorms read as their momentum; left at that of the last batch.
        done: Batches that an earlier call passed; they count alike.
    """

    def step(number: tf.Tensor) -> tuple[tf.Tensor]:
        # Momentum 1 - 1/t turns the moving average into the mean of all batches so far.
        momentum.assign(1 - 1 / tf.cast(done + number + 1, tf.float32))
        forward(number)
        return (number + 1,)

    tf.while_loop(
        lambda number: number < batches, step, (tf.constant(0),), maximum_iterations=batches
    )


def _present(layer: keras.layers.BatchNormalization, images: int) -> ChannelMoments:
    """Return the statistics that a BatchNorm has now."""
    mean = np.asarray(layer.moving_mean, np.float64)
    return ChannelMoments(images, mean, np.asarray(layer.moving_variance, np.float64))


def _batches(inputs: PixelArray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield batches of nearly equal size, none with a single image."""
    count = max(1, min(round(len(inputs) / batch_size), len(inputs) // 2))
    for numbers in np.array_split(np.arange(len(inputs)), count):
        yield inputs[numbers[0] : numbers[-1] + 1]


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return all layers of a model and of the models inside it."""
    return list(model._flatten_layers(include_self=False))


def _norms(model: keras.Model, keeps_frozen: bool = False) -> list[keras.layers.BatchNormalization]:
    """Return all BatchNorms of a model, or those that are not frozen."""
    found = [one for one in _layers(model) if isinstance(one, keras.layers.BatchNormalization)]
    return [one for one in found if one.trainable or not keeps_frozen]


@contextmanager
def _batch_statistics_only(
    model: keras.Model, norms: list[keras.layers.BatchNormalization]
) -> Iterator[None]:
    """Make a training-mode call leave each BatchNorm with exactly the batch's statistics."""
    changed: list[tuple[Any, str, Any]] = []

    def change(layer: Any, name: str, value: Any) -> None:
        changed.append((layer, name, getattr(layer, name)))
        setattr(layer, name, value)

    try:
        for layer in _layers(model):
            if isinstance(layer, keras.layers.Dropout):
                change(layer, "rate", 0.0)
        for layer in norms:
            # A frozen BatchNorm would run on its old statistics.
            change(layer, "trainable", True)
            change(layer, "momentum", 0.0)
            for variable in (layer.moving_mean, layer.moving_variance):
                # Momentum 0 times an old NaN would still be NaN.
                variable.assign(np.ones(variable.shape))
        yield
    finally:
        for layer, name, value in reversed(changed):
            setattr(layer, name, value)
