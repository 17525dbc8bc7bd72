"""One update, traced: forward, backward, and what the optimizer makes of it."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.train.augment.mix import consistency_loss
from efn_compose.train.recipe.losses import image_losses
from efn_compose.train.recipe.options import TrainOptions

_PIXELS = tf.TensorSpec((None, None, None, 3), tf.float32)
_TARGETS = tf.TensorSpec((None, None), tf.float32)
_SCALE = tf.TensorSpec((), tf.float32)


class UpdateStep:
    """Updates some variables of a network; what is trained is decided when it is made.

    Changing `trainable` later would change nothing in what is already traced, so a
    warm-up is an `UpdateStep` of its own.

    Args:
        model: From pixels to logits.
        optimizer: Not yet built.
        variables: Those that learn.
        options: Loss, accumulation, AugMix.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        variables: Sequence[Any],
        options: TrainOptions,
    ) -> None:
        self.model, self.optimizer, self.options = model, optimizer, options
        self.variables = list(variables)
        #: Views of each image in a batch, one after another: the image itself first.
        self.views = 3 if options.augmix else 1
        self.optimizer.build(self.variables)
        #: (class,), for `start` to set.
        self.class_weights = tf.Variable(tf.ones(model.output_shape[-1]), trainable=False)
        self._initial = [_compact(variable) for variable in self.optimizer.variables]
        signature = (_PIXELS, _TARGETS, _SCALE)
        self._whole = tf.function(self._update, input_signature=signature, autograph=False)
        self._part = tf.function(self._accumulate, input_signature=signature, autograph=False)
        self._apply = tf.function(self._apply_sums, input_signature=(), autograph=False)
        self._sums: list[tf.Variable] = []
        if options.accumulate > 1:
            self._sums = [tf.Variable(tf.zeros(v.shape), trainable=False) for v in self.variables]

    def start(self, class_weights: np.ndarray) -> None:
        """Forget everything the optimizer has seen.

        Args:
            class_weights: float32 (class,).
        """
        self.class_weights.assign(class_weights)
        for variable, value in zip(self.optimizer.variables, self._initial, strict=True):
            variable.assign(np.broadcast_to(value, variable.shape))

    def run(self, batches: Sequence[tuple[tf.Tensor, tf.Tensor]], rate: float) -> float:
        """Make one update from one or several batches and return the mean loss of their images.

        Several batches give the gradient of one batch with all their images, where no
        layer looks at the whole batch (BatchNorm) or draws (dropout).

        Args:
            batches: Preprocessed pixels (view · image, height, width, 3), targets (image, class).
            rate: The learning rate.
        """
        self.optimizer.learning_rate = rate
        scale = tf.constant(1 / sum(int(targets.shape[0]) for _, targets in batches))
        if len(batches) == 1:
            return float(self._whole(*batches[0], scale))
        loss = sum(float(self._part(*batch, scale)) for batch in batches)
        self._apply()
        return loss

    def losses(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (image,); made anew by trainers with other losses.

        Args:
            logits: (view · image, class).
            targets: (image, class).
        """
        views = tf.split(tf.cast(logits, tf.float32), self.views)
        options = self.options
        found = image_losses(
            views[0], targets, smoothing=options.label_smoothing, focal_gamma=options.focal_gamma
        )
        found *= tf.linalg.matvec(targets, self.class_weights)
        if options.augmix:
            found += options.augmix * consistency_loss(*views)
        return found

    def _gradients(self, pixels: Any, targets: Any, scale: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            logits = self.model(pixels, training=True)
            loss = tf.reduce_sum(self.losses(logits, targets)) * scale
            scaled = self.optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, [variable.value for variable in self.variables])

    def _update(self, pixels: Any, targets: Any, scale: Any) -> Any:
        loss, gradients = self._gradients(pixels, targets, scale)
        self.optimizer.apply(gradients, self.variables)
        return loss

    def _accumulate(self, pixels: Any, targets: Any, scale: Any) -> Any:
        loss, gradients = self._gradients(pixels, targets, scale)
        for total, gradient in zip(self._sums, gradients, strict=True):
            total.assign_add(gradient)
        return loss

    def _apply_sums(self) -> None:
        self.optimizer.apply([tf.identity(total) for total in self._sums], self.variables)
        for total in self._sums:
            total.assign(tf.zeros_like(total))


def _compact(variable: Any) -> np.ndarray:
    """Return a variable's values, or the one value that all of them are."""
    values = np.array(variable.numpy())
    is_constant = values.size and (values == values.flat[0]).all()
    return values.flat[0] if is_constant else values
