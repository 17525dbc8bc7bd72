"""Optimizers by name: Keras' own, and ours."""

import difflib
import inspect
from typing import Any

import keras

from efn_compose.errors import ConfigError
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.optimizers.padam import PAdam
from efn_compose.train.recipe.optimizers.shared_adam import SharedAdam, SharedAdamW


def optimizer_classes() -> dict[str, type[keras.optimizers.Optimizer]]:
    """Return all optimizers by lower-case name."""
    base = keras.optimizers.Optimizer
    found = {
        name.lower(): item
        for name, item in vars(keras.optimizers).items()
        if inspect.isclass(item) and issubclass(item, base) and item is not base
    }
    # They wrap other optimizers: one is for `precision` to choose, the other has no rate of its own.
    for wrapper in ("lossscaleoptimizer", "multioptimizer"):
        found.pop(wrapper, None)
    return found | {"adam": SharedAdam, "adamw": SharedAdamW, "padam": PAdam}


def optimizer_class(options: TrainOptions) -> type[keras.optimizers.Optimizer]:
    """Return the class of the optimizer that the options name.

    Args:
        options: Of them the name.

    Raises:
        ConfigError: There is no such optimizer.
    """
    classes = optimizer_classes()
    name = options.optimizer.lower()
    if name not in classes:
        close = difflib.get_close_matches(name, classes, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"train.optimizer: allowed {', '.join(sorted(classes))}. "
            f"Received: {options.optimizer!r}.{hint}"
        )
    return classes[name]


def _decays(kind: type[keras.optimizers.Optimizer], decay: float) -> dict[str, float]:
    """Return what an optimizer is told of weight decay: 0 is 0, also where Keras has another default."""
    known = inspect.signature(kind).parameters
    others = [
        name
        for name in ("weight_decay", "adam_weight_decay")
        if name in known and known[name].default
    ]
    return dict.fromkeys([*(["weight_decay"] if decay else []), *others], decay)


def make_optimizer(options: TrainOptions, rate: float) -> keras.optimizers.Optimizer:
    """Return the optimizer that the options name.

    Args:
        options: Name, settings, weight decay, clipping, precision.
        rate: The learning rate to begin with.

    Raises:
        ConfigError: No such optimizer, or it takes no such setting.

    Example:
        >>> type(make_optimizer(TrainOptions(optimizer="sgd"), 0.1)).__name__
        'SGD'
    """
    kind = optimizer_class(options)
    settings: dict[str, Any] = {"learning_rate": float(rate)}
    settings |= _decays(kind, options.weight_decay)
    if options.clip_norm:
        settings["global_clipnorm"] = options.clip_norm
    try:
        optimizer = kind(**settings | options.optimizer_arguments())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"train.optimizer_settings: {options.optimizer}: {error}") from None
    if options.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
