"""AdvProp: adversarial images teach the weights, with BatchNorm statistics of their own.

Xie et al. 2020 (arXiv:1911.09665). A second network shares everything with the first but its
BatchNorm layers, the *twins*. It sees the batch's images changed against the present weights. Twins
take part in training only: they are neither scored nor written.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.donors import Donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.classification import Classification

_NORM = keras.layers.BatchNormalization


class AdversarialClassification(Classification):
    """Telling classes apart, on clean images and on adversarial ones beside them.

    The loss is the mean of the clean and the adversarial one, the latter weighted by
    `options.advprop`. An attack starts at the image and goes `options.advprop_steps` steps up the
    loss of the twins' network, by the sign of the gradient, no further than
    `options.advprop_radius` grey levels from it. One step costs about as much as two more updates.

    Args:
        classes: As for `Classification`.
        options: As for `Classification`; `advprop` must be set.
        metric: As for `Classification`.

    Example:
        >>> from efn_compose.train.options import TrainOptions
        >>> AdversarialClassification(10, TrainOptions(advprop=1.0)).deciding.score
        'loss'
    """

    _radius: Any
    _low: Any
    _high: Any

    def build(self, donor: Donor) -> keras.Model:
        """Build the network, and its twin."""
        refuse_group_norm(donor.name, donor.spec, "advprop")
        model = super().build(donor)
        scaling = donor.conventions.preprocessing
        mean, std = np.asarray(scaling.mean), np.asarray(scaling.std)
        self._radius = tf.constant(self.options.advprop_radius / std, tf.float32)
        self._low = tf.constant((0 - mean) / std, tf.float32)
        self._high = tf.constant((255 - mean) / std, tf.float32)
        self._pairs: list[tuple[Any, Any]] = []
        self._twin = keras.models.clone_model(model, clone_function=self._twin_of)
        return model

    def _twin_of(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return a fresh layer for a BatchNorm, and every other layer itself."""
        if not isinstance(layer, _NORM):
            return layer
        twin = type(layer).from_config(layer.get_config())
        twin.trainable = layer.trainable
        self._pairs.append((layer, twin))
        return twin

    def begin(self, data: TrainingData, updates: int) -> None:
        """Weigh the classes, and let the twins begin with the statistics of the starting weights."""
        super().begin(data, updates)
        for layer, twin in self._pairs:
            for variable, other in zip(layer.variables, twin.variables, strict=True):
                other.assign(variable)

    def learnt_beside(self) -> Sequence[Any]:
        """Return gamma and beta of the twins."""
        return [variable for _, twin in self._pairs for variable in twin.trainable_variables]

    def variables(self) -> list[Any]:
        """Return all that the twins hold."""
        return [variable for _, twin in self._pairs for variable in twin.variables]

    def identity(self) -> dict[str, str]:
        """Return the name of the objective; the options say the rest."""
        return {"objective": "adversarial"}

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the summed losses of the images, each the mean of its clean and adversarial one."""
        weight = self.options.advprop
        clean = super().loss(model, pixels, targets, updates)
        attacked = self._attacked(pixels, targets)
        return (clean + weight * self._twin_loss(attacked, targets)) / (1 + weight)

    def _twin_loss(self, pixels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(self._twin(pixels, training=True), tf.float32)
        return tf.reduce_sum(self.losses(logits, targets))

    def _attacked(self, pixels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return images changed against the twins' network."""
        steps = self.options.advprop_steps
        found = pixels
        for _ in range(steps):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(found)
                loss = self._twin_loss(found, targets)
            uphill = tf.sign(tape.gradient(loss, found)) * self._radius / steps
            found = tf.clip_by_value(found + uphill, self._low, self._high)
        return tf.stop_gradient(found)
