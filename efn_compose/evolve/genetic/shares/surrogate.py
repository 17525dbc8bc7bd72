"""What the evaluations so far say of shares that were never tried: a Gaussian process over genomes.

Evaluations are noisy, and neighbours in a space of shares have similar losses. So a model of all
evaluations together knows more of a genome than the one evaluation that it may have had.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from efn_compose.compose import ShareGenomeSpace
from efn_compose.compose.share_space import HIGHEST, LOWEST
from efn_compose.evolve.genetic.estimates import Look

#: Standard deviations by which a guess at the minimum is careful, as `minimum` says; finals choose among
#: the first few. Two are as good as any on made-up losses, where one or none is far off now and then.
CAUTIONS = (2.0, 1.0, 4.0, 0.5)
#: Evaluations that a fit takes at most: it costs their cube.
_MOST = 400
#: Genes at which a distance counts as it is; with more of them, distances are longer by themselves.
_GENES = 8
#: Logarithms of typical scales, in the order of `Scales`, and their standard deviations.
_LOGS, _WIDTHS = np.log([0.8, 1.0, 0.5, 0.2]), np.array([0.5, 0.7, 0.7, 0.7])
#: Variance of the level of all losses, and what keeps a matrix from being singular.
_LEVEL, _JITTER = 10.0, 1e-6
#: Where a search for a minimum begins: the best evaluated points, and the mean of more of them.
_STARTS, _MEAN_OF = 6, 12


@dataclass(frozen=True)
class Scales:
    """The scales of a surrogate.

    Args:
        length: Distance over which losses are alike, in shares.
        bend: Standard deviation of true losses; this and all below in that of the evaluations.
        noise: Of a single evaluation.
        luck: Of what all evaluations of a generation have in common.
    """

    length: float
    bend: float
    noise: float
    luck: float


class Surrogate:
    """A Gaussian process of losses over shares: a level, what is smooth, luck and noise.

    Rasmussen and Williams (2006, Gaussian Processes for Machine Learning, chapters 2 and 5). There is no
    trend: one that goes on where nothing was evaluated promises the most far away from all donors. All
    evaluations of a generation share a seed, whose luck is a term of its own. Scales are the most
    probable ones under weak beliefs about them. Of very many evaluations the 400 nearest to the
    best take part. One thread computes, so that the result does not depend on their number.

    Args:
        points: Shares (evaluation, locus) float64.
        generations: Whose seed was used, (evaluation,) int.
        losses: Nats, (evaluation,) float64; one or more.
        scales: Of an earlier fit; fitted by default.

    Example:
        >>> points = np.linspace(0, 1, 9)[:, None]
        >>> surrogate = Surrogate(points, np.zeros(9, int), (points[:, 0] - 0.4) ** 2)
        >>> surrogate.minimum(caution=1.0).round(1).tolist()
        [0.4]
    """

    def __init__(
        self,
        points: np.ndarray,
        generations: np.ndarray,
        losses: np.ndarray,
        scales: Scales | None = None,
    ) -> None:
        self._unit = math.sqrt(points.shape[1] / _GENES)
        taken = _nearest_to_best(points, losses)
        self._points, self._generations = points[taken] / self._unit, generations[taken]
        self._mean, self._spread = float(losses[taken].mean()), float(losses[taken].std()) + 1e-9
        self._losses = (losses[taken] - self._mean) / self._spread
        with _one_thread():
            self.scales = scales or self._fit()
            covariance, _ = self._covariance(self.scales)
            self._inverse = np.linalg.inv(covariance)
            self._weights = self._inverse @ self._losses

    @property
    def evaluations(self) -> int:
        """Number of evaluations that take part."""
        return len(self._points)

    @classmethod
    def of(
        cls, space: ShareGenomeSpace, looks: Sequence[Look], scales: Scales | None = None
    ) -> "Surrogate":
        """Return the surrogate of the evaluations of a search, one or more.

        Args:
            space: What genes mean.
            looks: Genome, generation and loss of each.
            scales: Of an earlier fit; fitted by default.
        """
        points = np.array([space.shares(look.genome) for look in looks])
        generations = np.array([look.generation for look in looks])
        return cls(points, generations, np.array([look.loss for look in looks]), scales)

    def believed(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (point,) of the losses at shares (point, locus), nats.

        Luck and noise of an evaluation there are not among them.
        """
        with _one_thread():
            mean, covariance = self._posterior(points)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        return mean * self._spread + self._mean, deviation * self._spread

    def samples(self, points: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        """Draw losses (sample, point) as they may be at shares (point, locus), in nats.

        Args:
            points: Shares.
            count: Number of samples.
            generator: Source of randomness; advanced.
        """
        with _one_thread():
            mean, covariance = self._posterior(points)
            root = np.linalg.cholesky(covariance + _JITTER * np.eye(len(points)))
            drawn = mean + generator.standard_normal((count, len(points))) @ root.T
        losses: np.ndarray = drawn * self._spread + self._mean
        return losses

    def minimum(self, caution: float) -> np.ndarray:
        """Return the shares (locus,) whose loss is least, however unlucky the guess.

        What is least is the mean plus so many standard deviations: a point far from all evaluations
        has to be believed very good.

        Args:
            caution: Number of standard deviations, 0 or more.
        """
        from scipy.optimize import minimize

        with _one_thread():
            mean = self._alike(self._points, self._points) @ self._weights
            best = self._points[np.argsort(mean, kind="stable")]
            starts = [*best[:_STARTS], best[:_MEAN_OF].mean(axis=0)]
            bounds = [(LOWEST / self._unit, HIGHEST / self._unit)] * best.shape[1]
            found = [
                minimize(
                    self._cautious, start, (caution,), jac=True, method="L-BFGS-B", bounds=bounds
                )
                for start in starts
            ]
        point: np.ndarray = min(found, key=lambda result: float(result.fun)).x * self._unit
        return point

    def _fit(self) -> Scales:
        """Return the most probable scales."""
        from scipy.optimize import minimize

        reach = 4 * _WIDTHS
        bounds = list(zip(_LOGS - reach, _LOGS + reach, strict=True))
        found = minimize(self._improbability, _LOGS, jac=True, method="L-BFGS-B", bounds=bounds)
        return Scales(*np.exp(found.x).tolist())

    def _improbability(self, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Return minus the logarithm of the probability of scales, a constant left out, and its gradient."""
        covariance, slopes = self._covariance(Scales(*np.exp(logs)))
        inverse = np.linalg.inv(covariance)
        weights = inverse @ self._losses
        _, volume = np.linalg.slogdet(covariance)
        offsets = (logs - _LOGS) / _WIDTHS
        value = (self._losses @ weights + volume + (offsets**2).sum()) / 2
        pull = inverse - np.outer(weights, weights)
        gradient = np.array([(pull * slope).sum() / 2 for slope in slopes])
        return float(value), gradient + offsets / _WIDTHS

    def _covariance(self, scales: Scales) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the covariance of all evaluations, and its slopes along the logarithms of the scales."""
        distances, bend = _terms(scales, self._points, self._points)
        luck = scales.luck**2 * (self._generations[:, None] == self._generations[None])
        noise = scales.noise**2 * np.eye(len(distances))
        whole = bend + luck + noise + _LEVEL + _JITTER * np.eye(len(distances))
        return whole, [bend * distances / scales.length**2, 2 * bend, 2 * noise, 2 * luck]

    def _posterior(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (point,) and covariance (point, point) of scaled losses, luck and noise left out."""
        scaled = points / self._unit
        known = self._alike(scaled, self._points)
        covariance = self._alike(scaled, scaled) - known @ self._inverse @ known.T
        return known @ self._weights, covariance

    def _alike(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the covariance of true losses at scaled points."""
        _, bend = _terms(self.scales, one, other)
        alike: np.ndarray = bend + _LEVEL
        return alike

    def _cautious(self, point: np.ndarray, caution: float) -> tuple[float, np.ndarray]:
        """Return mean plus caution times deviation at a scaled point, and its gradient."""
        scales = self.scales
        away = self._points - point
        bend = scales.bend**2 * np.exp(-(away**2).sum(axis=1) / (2 * scales.length**2))
        known = bend + _LEVEL
        slopes = bend[:, None] * away / scales.length**2
        solved = self._inverse @ known
        deviation = math.sqrt(max(scales.bend**2 + _LEVEL - known @ solved, 1e-10))
        steeper = -slopes.T @ solved / deviation
        value = known @ self._weights + caution * deviation
        return float(value), slopes.T @ self._weights + caution * steeper


def _nearest_to_best(points: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Return the positions, in order, of the evaluations nearest to the mean of the best ones."""
    if len(points) <= _MOST:
        return np.arange(len(points))
    centre = points[np.argsort(losses, kind="stable")[:_MEAN_OF]].mean(axis=0)
    distances = ((points - centre) ** 2).sum(axis=1)
    return np.sort(np.argsort(distances, kind="stable")[:_MOST])


def _terms(scales: Scales, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances of points (point, locus), and covariances without the level."""
    from scipy.spatial.distance import cdist

    distances = cdist(one, other, "sqeuclidean")
    return distances, scales.bend**2 * np.exp(-distances / (2 * scales.length**2))


def _one_thread() -> AbstractContextManager[object]:
    """Hold linear algebra to one thread: sums in another order would choose other genomes."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits
