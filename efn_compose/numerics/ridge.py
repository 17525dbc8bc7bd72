"""Ridge regression: a linear map from features to targets, found without labels or gradients."""

from dataclasses import dataclass

import numpy as np

#: Penalty of a refit, as a share of the mean variance of the features.
RIDGE = 3e-3


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear map.

    Args:
        kernel: (feature, target) float64.
        bias: (target,) float64.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def error(self, features: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean squared error on samples (sample, feature) and (sample, target)."""
        return float(np.square(features @ self.kernel + self.bias - targets).mean())


class RidgeRegression:
    """Sums over samples that give the fit for any penalty.

    Args:
        features: (sample, feature); a feature that never changes gets weight 0, or stays as it is
            in `start`.
        targets: (sample, target).
        start: Kernel (feature, target) that the penalty pulls towards; default 0.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> features = rng.normal(size=(500, 4))
        >>> truth = rng.normal(size=(4, 2))
        >>> fit = RidgeRegression(features, features @ truth + 3).fit()
        >>> bool(np.allclose(fit.kernel, truth, atol=0.02)), bool(np.allclose(fit.bias, 3, atol=0.02))
        (True, True)
    """

    def __init__(
        self, features: np.ndarray, targets: np.ndarray, start: np.ndarray | None = None
    ) -> None:
        features, targets = features.astype(np.float64), targets.astype(np.float64)
        self._centre, self._aim = features.mean(axis=0), targets.mean(axis=0)
        centred, rest = features - self._centre, targets - self._aim
        self._start = start
        if start is not None:
            rest = rest - centred @ start
        self._gram = centred.T @ centred
        #: Mean variance of the features, times the number of samples.
        self._power = max(float(np.trace(self._gram)) / len(self._gram), 1e-30)
        self._product = centred.T @ rest

    def fit(self, ridge: float = RIDGE) -> LinearFit:
        """Return the best map under a penalty.

        Args:
            ridge: The penalty, as a share of the features' mean variance.
        """
        gram = self._gram.copy()
        gram[np.diag_indices_from(gram)] += ridge * self._power
        return self._with_change(np.linalg.solve(gram, self._product))

    def unchanged(self) -> LinearFit:
        """Return the map of the start itself, with the bias that suits the samples best."""
        return self._with_change(np.zeros_like(self._product))

    def _with_change(self, change: np.ndarray) -> LinearFit:
        kernel = change if self._start is None else self._start + change
        return LinearFit(kernel, self._aim - self._centre @ kernel)
