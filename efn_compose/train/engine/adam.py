"""Adam (Kingma and Ba 2015, arXiv:1412.6980) as one operation per variable, with loss scaling."""

from collections.abc import Sequence

import tensorflow as tf

from efn_compose.train.engine.placement import replica_state

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
#: Where loss scaling begins, and steps without overflow after which it doubles.
_FIRST_SCALE, _STEPS_TO_DOUBLE = 2.0**15, 2000


class FusedAdam:
    """Adam over fixed variables; about a tenth of the graph that Keras' optimizer makes.

    Args:
        variables: Trained ones, float32.
        is_scaled: Whether losses are scaled up, as gradients in float16 need: a step whose
            gradients overflow is left out and halves the scale (Micikevicius et al. 2018,
            arXiv:1710.03740).

    Example:
        >>> adam = FusedAdam([weights])  # doctest: +SKIP
        >>> adam.apply([gradient], rate=tf.constant(1e-3))  # doctest: +SKIP
    """

    def __init__(self, variables: Sequence[tf.Variable], is_scaled: bool = False) -> None:
        self._variables, self._is_scaled = list(variables), is_scaled
        self._slots = [
            (replica_state(tf.zeros_like(v)), replica_state(tf.zeros_like(v))) for v in variables
        ]
        self._step = replica_state(0.0)
        self._scale = replica_state(_FIRST_SCALE if is_scaled else 1.0)
        self._calm_steps = replica_state(0.0)
        # One call for all slots: one by one they take half of what giving a candidate its weights does.
        self._forget = tf.function(self._zero, autograph=False)

    def reset(self) -> None:
        """Forget all steps."""
        self._forget()

    def _zero(self) -> None:
        for first, second in self._slots:
            for slot in (first, second):
                slot.assign(tf.zeros(slot.shape, slot.dtype), read_value=False)
        self._step.assign(0.0)
        self._scale.assign(_FIRST_SCALE if self._is_scaled else 1.0)
        self._calm_steps.assign(0.0)

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss to take gradients of."""
        return loss * tf.convert_to_tensor(self._scale) if self._is_scaled else loss

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        """Make a step.

        Args:
            gradients: Of what `scaled` returned, by variable.
            rate: Learning rate.
        """
        if not self._is_scaled:
            self._apply(gradients, rate)
            return
        scale = tf.convert_to_tensor(self._scale)
        gradients = [tf.cast(gradient, tf.float32) / scale for gradient in gradients]
        # Any infinity or NaN makes the sum of all absolute values one.
        total = tf.add_n([tf.reduce_sum(tf.abs(gradient)) for gradient in gradients])
        calm = tf.convert_to_tensor(self._calm_steps) + 1

        def step() -> tuple[tf.Tensor, tf.Tensor]:
            self._apply(gradients, rate)
            doubles = calm >= _STEPS_TO_DOUBLE
            return tf.where(doubles, 2 * scale, scale), tf.where(doubles, 0.0, calm)

        def leave_out() -> tuple[tf.Tensor, tf.Tensor]:
            return tf.maximum(scale / 2, 1.0), tf.zeros_like(calm)

        new_scale, new_calm = tf.cond(tf.math.is_finite(total), step, leave_out)
        self._scale.assign(new_scale)
        self._calm_steps.assign(new_calm)

    def _apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        step = tf.convert_to_tensor(self._step) + 1
        self._step.assign(step)
        # Made once for all variables: each is an operation that takes time to trace.
        betas = tf.constant(_BETA_1), tf.constant(_BETA_2)
        powers = tf.pow(betas[0], step), tf.pow(betas[1], step)
        epsilon = tf.constant(_EPSILON)
        for variable, gradient, (first, second) in zip(
            self._variables, gradients, self._slots, strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=betas[0],
                beta2=betas[1],
                epsilon=epsilon,
                grad=gradient,
            )
