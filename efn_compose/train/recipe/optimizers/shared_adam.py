"""Keras' Adam and AdamW, traced in half of the operations: what is equal for all variables is made once.

Keras works out the size of a step anew for each variable. A network has hundreds of them. The
operations on the variables themselves are Keras' own, in Keras' order: the bits are the same.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops


class _SharedStep:
    """Mixed into a Keras Adam: the size of a step is worked out once per update."""

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Move the variables."""
        self._step_size = ()
        super().apply(grads, trainable_variables)  # type: ignore[misc]  # of the class it is mixed into
        self._step_size = ()

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable."""
        is_plain = isinstance(gradient, tf.Tensor) and gradient.dtype == variable.dtype
        if self.amsgrad or not is_plain or variable.dtype != tf.float32:
            super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]  # the same
            return
        if not self._step_size:
            self._step_size = (self._sized(learning_rate),)
        index = self._get_variable_index(variable)
        m, v = self._momentums[index].value, self._velocities[index].value
        m.assign_add((gradient - m) * (1 - self.beta_1), read_value=False)
        v.assign_add((tf.square(gradient) - v) * (1 - self.beta_2), read_value=False)
        move = m * self._step_size[0] / (tf.sqrt(v) + self.epsilon)
        variable.assign_sub(move, read_value=False)

    def _sized(self: Any, learning_rate: Any) -> Any:
        """Return the step's size, with the bias of both averages taken out."""
        rate, step = (ops.cast(one, "float32") for one in (learning_rate, self.iterations + 1))
        powers = [ops.power(ops.cast(beta, "float32"), step) for beta in (self.beta_1, self.beta_2)]
        return rate * ops.sqrt(1 - powers[1]) / (1 - powers[0])


class SharedAdam(_SharedStep, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) as Keras computes it.

    Example:
        >>> SharedAdam(0.01).beta_1
        0.9
    """


class SharedAdamW(_SharedStep, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) as Keras computes it.

    Example:
        >>> SharedAdamW(0.01).weight_decay
        0.004
    """
