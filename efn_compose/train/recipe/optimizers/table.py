"""Optimizers by name: Keras' own, and ours."""

import difflib
import inspect
from typing import Any

import keras

from efn_compose.errors import ConfigError
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.optimizers.padam import PAdam
from efn_compose.train.recipe.optimizers.shared_adam import SharedAdam, SharedAdamW

#: Not to be named. The first two wrap other optimizers: one is for `precision` to choose, the other has no
#: rate of its own. The others throw the weights away that a training begins with: one puts those back that
#: it was built with, before the donor's were loaded; the other computes weights from sums that begin at 0.
_LEFT_OUT = ("lossscaleoptimizer", "multioptimizer", "schedulefreeadamw", "ftrl")
#: Arguments that would change nothing, by the setting that does what they say.
_ELSEWHERE = {
    "learning_rate": "train.learning_rate",
    "use_ema": "train.ema",
    "ema_momentum": "train.ema",
    "ema_overwrite_frequency": "train.ema",
}


def optimizer_classes() -> dict[str, type[keras.optimizers.Optimizer]]:
    """Return all optimizers by lower-case name."""
    base = keras.optimizers.Optimizer
    found = {
        name.lower(): item
        for name, item in vars(keras.optimizers).items()
        if inspect.isclass(item) and issubclass(item, base) and item is not base
    }
    for name in _LEFT_OUT:
        found.pop(name, None)
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
    given = options.optimizer_arguments()
    unread = [f"{name} (set {_ELSEWHERE[name]})" for name in given if name in _ELSEWHERE]
    if unread:
        raise ConfigError(f"train.optimizer_settings: no effect has {', '.join(unread)}.")
    try:
        optimizer = kind(**settings | given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"train.optimizer_settings: {options.optimizer}: {error}") from None
    if options.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
