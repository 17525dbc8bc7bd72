"""One update, traced: forward pass, gradients, and the optimizer's step."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.models.traced_gradients import PIXELS, traced_once
from efn_compose.train.objectives.objective import Objective

_SCALE = tf.TensorSpec((), tf.float32)


class UpdateStep:
    """Updates some variables of a network; they are chosen when the step is made.

    Changing `trainable` later would change nothing in what is already traced, so a
    warm-up is an `UpdateStep` of its own.

    Args:
        model: The network.
        objective: Gives the loss of a batch.
        optimizer: Not yet built.
        variables: Those that learn.
    """

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        optimizer: keras.optimizers.Optimizer,
        variables: Sequence[Any],
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.variables = list(variables)
        self.optimizer.build(self.variables)
        self._initial = [_compact(variable) for variable in self.optimizer.variables]
        signature = (PIXELS, objective.target_spec, _SCALE)
        self._whole = traced_once(self._update, *signature)
        self._part = traced_once(self._accumulate, *signature)
        self._apply = tf.function(self._apply_sums, input_signature=(), autograph=False)
        #: Updates that another step has made before.
        self._before = tf.Variable(0.0, trainable=False)
        self._sums: list[tf.Variable] = []
        #: Which variables the loss reads, known once a batch was traced.
        self._is_reached: list[bool] = []
        if objective.options.accumulate > 1:
            self._sums = [tf.Variable(tf.zeros(v.shape), trainable=False) for v in self.variables]

    def start(self, before: int = 0) -> None:
        """Forget everything the optimizer has seen.

        Args:
            before: Updates that another step makes before this one, as the objective counts them.
        """
        self._before.assign(before)
        for variable, value in zip(self.optimizer.variables, self._initial, strict=True):
            variable.assign(np.broadcast_to(value, variable.shape))
        # Those of a training that failed between two batches of one update.
        for total in self._sums:
            total.assign(tf.zeros_like(total))

    def run(self, batches: Sequence[tuple[tf.Tensor, tf.Tensor]], rate: float) -> float:
        """Make one update from one or several batches and return the mean loss of their images.

        Several batches give the gradient of one batch with all their images, where no
        layer looks at the whole batch (BatchNorm) or draws (dropout).

        Args:
            batches: Scaled pixels (view · image, height, width, 3), targets (image, ...).
            rate: The learning rate.
        """
        self.optimizer.learning_rate = rate
        scale = tf.constant(1 / sum(int(targets.shape[0]) for _, targets in batches))
        if len(batches) == 1:
            return float(self._whole(*batches[0], scale))
        loss = sum(float(self._part(*batch, scale)) for batch in batches)
        self._apply()
        return loss

    def _gradients(self, pixels: Any, targets: Any, scale: Any) -> tuple[Any, list[Any]]:
        made = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.float32)
        updates = made + self._before
        with tf.GradientTape() as tape:
            loss = self.objective.loss(self.model, pixels, targets, updates) * scale
            scaled = self.optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, [variable.value for variable in self.variables])

    def _update(self, pixels: Any, targets: Any, scale: Any) -> Any:
        loss, gradients = self._gradients(pixels, targets, scale)
        # What the loss does not read stays: a discriminator may look at the first stages alone.
        reached = [
            (gradient, variable)
            for gradient, variable in zip(gradients, self.variables, strict=True)
            if gradient is not None
        ]
        self.optimizer.apply([g for g, _ in reached], [variable for _, variable in reached])
        return loss

    def _accumulate(self, pixels: Any, targets: Any, scale: Any) -> Any:
        loss, gradients = self._gradients(pixels, targets, scale)
        self._is_reached = [gradient is not None for gradient in gradients]
        for total, gradient in zip(self._sums, gradients, strict=True):
            if gradient is not None:
                total.assign_add(gradient)
        return loss

    def _apply_sums(self) -> None:
        found = zip(self._sums, self.variables, self._is_reached, strict=True)
        reached = [(tf.identity(total), variable) for total, variable, is_read in found if is_read]
        self.optimizer.apply([total for total, _ in reached], [variable for _, variable in reached])
        for total in self._sums:
            total.assign(tf.zeros_like(total))


def _compact(variable: Any) -> np.ndarray:
    """Return a variable's values, or the one value that all of them are."""
    values = np.array(variable.numpy())
    is_constant = values.size and (values == values.flat[0]).all()
    return values.flat[0] if is_constant else values
