"""Refit a mixed block's project convolution: one ridge regression, no labels."""

from dataclasses import dataclass

import numpy as np

#: Ridge penalty as a share of the mean variance of the features.
RIDGE = 3e-3


@dataclass(frozen=True)
class ProjectFit:
    """A linear read-out of a block's expanded channels.

    Args:
        kernel: (expanded channel, output channel).
        bias: (output channel,).
    """

    kernel: np.ndarray
    bias: np.ndarray


def ridge_fit(features: np.ndarray, target: np.ndarray, ridge: float = RIDGE) -> ProjectFit:
    """Return the kernel and bias that predict a target from a block's expanded channels.

    Args:
        features: (sample, expanded channel): what the project convolution reads in
            the mixed network, at random positions of unlabelled images.
        target: (sample, output channel): the wanted addition of the block to the stream.
        ridge: Penalty as a share of the features' mean variance.

    Returns:
        The fit, float64. Channels that never change get weight 0.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> features = rng.normal(size=(500, 4))
        >>> truth = rng.normal(size=(4, 2))
        >>> fit = ridge_fit(features, features @ truth + 3)
        >>> bool(np.allclose(fit.kernel, truth, atol=0.02)), bool(np.allclose(fit.bias, 3, atol=0.02))
        (True, True)
    """
    features, target = features.astype(np.float64), target.astype(np.float64)
    centre, aim = features.mean(axis=0), target.mean(axis=0)
    centred = features - centre
    gram = centred.T @ centred
    penalty = max(ridge * np.trace(gram) / len(gram), 1e-12)
    gram[np.diag_indices_from(gram)] += penalty
    kernel = np.linalg.solve(gram, centred.T @ (target - aim))
    return ProjectFit(kernel, aim - centre @ kernel)
