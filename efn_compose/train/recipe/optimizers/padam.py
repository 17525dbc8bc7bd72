"""PAdam: partially adaptive momentum."""

from typing import Any

import keras
from keras import ops

from efn_compose.errors import ConfigError


@keras.saving.register_keras_serializable("efn_compose")
class PAdam(keras.optimizers.Optimizer):
    """Adam whose adaptivity is turned down (Chen et al. 2018, arXiv:1806.06763, algorithm 1).

    m = β1 m + (1 − β1) g; v = β2 v + (1 − β2) g²; v̂ = max(v̂, v); θ −= rate · m / v̂^p.
    p = 1/2 is AMSGrad, p towards 0 gradient descent with momentum. No bias correction, as in
    the paper. Take a rate as for gradient descent: 0.1 is usual with p = 1/8.

    Args:
        learning_rate: The step size.
        beta_1: Decay of the gradient's average.
        beta_2: Decay of its square's.
        partial: p, over 0 and at most 1/2.
        epsilon: Added to the root of v̂, so that nothing is divided by zero.
        **options: Arguments of every Keras optimizer, for example `weight_decay`.

    Raises:
        ConfigError: `partial` is out of bounds.

    Example:
        >>> PAdam(0.1, partial=0.125).partial
        0.125
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        partial: float = 0.125,
        epsilon: float = 1e-8,
        name: str = "padam",
        **options: Any,
    ) -> None:
        if not 0 < partial <= 0.5:
            raise ConfigError(f"partial: allowed over 0 and at most 0.5. Received: {partial}.")
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.partial, self.epsilon = partial, epsilon

    def build(self, variables: list[Any]) -> None:
        """Make the three averages of each variable."""
        if self.built:
            return
        super().build(variables)
        names = ("momentum", "velocity", "velocity_hat")
        slots = [self.add_optimizer_variables(variables, name) for name in names]
        self._momentums, self._velocities, self._hats = slots

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable."""
        index = self._get_variable_index(variable)
        rate, g = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        m, v, hat = self._momentums[index], self._velocities[index], self._hats[index]
        self.assign(m, self.beta_1 * m + (1 - self.beta_1) * g)
        self.assign(v, self.beta_2 * v + (1 - self.beta_2) * ops.square(g))
        self.assign(hat, ops.maximum(hat, v))
        self.assign_sub(variable, rate * m / (ops.sqrt(hat) + self.epsilon) ** (2 * self.partial))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the optimizer."""
        own = ("beta_1", "beta_2", "partial", "epsilon")
        return super().get_config() | {name: getattr(self, name) for name in own}
