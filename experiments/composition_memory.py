"""Optimizers that live on between trainings, and a rate that falls over several of them.

No search of the product has these: over 60 pairs they were not worth their complexity
(experiments/results/composition.md).
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from efn_compose.train.resident.resident import ResidentModel


def moments_of(network: ResidentModel) -> list[np.ndarray]:
    """Return copies of the optimizer's state."""
    return [variable.numpy() for variable in _state(network)]


def go_on(network: ResidentModel, moments: Sequence[np.ndarray]) -> None:
    """Let the optimizer of weights that were just loaded go on where another one stopped."""
    for variable, values in zip(_state(network), moments, strict=True):
        variable.assign(values)


def _state(network: ResidentModel) -> list[tf.Variable]:
    adam = network._adam
    slots = [slot for pair in adam._slots for slot in pair]
    return [*slots, adam._step, adam._scale, adam._calm_steps]


def falling_course(begin: float, end: float, updates: int) -> np.ndarray:
    """Return factors of the rate over a stretch of a training whose rate falls at last.

    They are 1 to the middle of the training, then fall by half a cosine to 0 at its end.

    Args:
        begin: Where in the training the stretch begins, 0 to 1.
        end: Where it ends.
        updates: Updates of the stretch.

    Returns:
        float64 (update,), each at its update's middle.
    """
    at = begin + (end - begin) * (np.arange(updates) + 0.5) / updates
    return (1 + np.cos(np.pi * np.maximum(2 * at - 1, 0))) / 2
