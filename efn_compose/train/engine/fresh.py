"""Fresh parts of a training: a linear layer that is drawn, and dropout masks."""

from collections.abc import Sequence

import keras
import numpy as np


def head_generator(seed: int) -> np.random.Generator:
    """Return the generator that a seed's fresh layers are drawn from, one after another."""
    return np.random.default_rng([seed, 1])


def fresh_kernel(shape: Sequence[int], generator: np.random.Generator) -> np.ndarray:
    """Draw the kernel of a linear layer (Glorot and Bengio 2010, uniform); its bias begins at 0.

    Args:
        shape: (input, output).
        generator: As of `head_generator`.

    Returns:
        float32 of that shape.

    Example:
        >>> kernel = fresh_kernel((2, 4), head_generator(1))
        >>> kernel.shape, bool(abs(kernel).max() < 1)
        ((2, 4), True)
    """
    limit = np.sqrt(6.0 / sum(shape))
    return generator.uniform(-limit, limit, shape).astype(np.float32)


def seed_masks(model: keras.Model, seed: int, spacing: int = 0) -> None:
    """Start the dropout masks of a network anew.

    Args:
        model: The network.
        seed: Decides the masks.
        spacing: Difference of the seeds of neighbouring layers; 0 suits a network with one
            dropout layer only.
    """
    for number, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign([(seed + spacing * number) % (1 << 31), 0])
