"""Linear maps that carry a donor's residual stream into a reference's basis.

No activation touches a residual stream, so its symmetries are all invertible
matrices; a permutation is the wrong tool for it. Maps act on rows: with donor
channels x, `x @ forward + offset` estimates the reference's channels.
"""

from dataclasses import dataclass

import numpy as np

from efn_compose.donors.alignment.activations import PairMoments
from efn_compose.donors.alignment.assignment import best_matching

#: Share of the mean variance that is added to every channel before inverting.
SHRINKAGE = 1e-2


@dataclass(frozen=True)
class StreamMap:
    """A change of basis of one residual stream.

    Args:
        forward: (donor channel, reference channel).
        backward: (reference channel, donor channel); the inverse of `forward`
            unless the map is a pair of regressions.
        offset: (reference channel,); added once where the stream begins.
        permutation: For maps that only permute and scale, the donor channel of
            each place; needed where a depthwise convolution reads the stream.
    """

    forward: np.ndarray
    backward: np.ndarray
    offset: np.ndarray
    permutation: np.ndarray | None = None

    @property
    def order(self) -> np.ndarray:
        """Donor channel (reference channel,) of a map that only permutes and scales.

        Raises:
            ValueError: The map mixes channels.
        """
        if self.permutation is None:
            raise ValueError("a map that mixes channels has no order of channels")
        return self.permutation

    @property
    def scale(self) -> np.ndarray:
        """Factor (reference channel,) of a map that only permutes and scales."""
        return self.forward[self.order, np.arange(len(self.order))]


@dataclass(frozen=True)
class StreamMoments:
    """Centred moments of one stream, pooled over all blocks that write to it."""

    donor: np.ndarray
    reference: np.ndarray
    cross: np.ndarray
    donor_mean: np.ndarray
    reference_mean: np.ndarray

    @classmethod
    def pooled(cls, taps: list[PairMoments]) -> "StreamMoments":
        """Average the moments of several taps; each tap counts alike."""
        return cls(
            np.mean([tap.covariance(0) for tap in taps], axis=0),
            np.mean([tap.covariance(1) for tap in taps], axis=0),
            np.mean([tap.cross_covariance for tap in taps], axis=0),
            np.mean([tap.mean(0) for tap in taps], axis=0),
            np.mean([tap.mean(1) for tap in taps], axis=0),
        )

    @classmethod
    def diagonal(cls, taps: list[PairMoments]) -> "StreamMoments":
        """Average moments if only the channels' own variances are known."""
        return cls(
            np.diag(np.mean([tap.variance(0) for tap in taps], axis=0)),
            np.diag(np.mean([tap.variance(1) for tap in taps], axis=0)),
            np.mean([tap.cross_covariance for tap in taps], axis=0),
            np.mean([tap.mean(0) for tap in taps], axis=0),
            np.mean([tap.mean(1) for tap in taps], axis=0),
        )

    def explained(self, forward: np.ndarray) -> float:
        """Return R² of the reference's channels from the mapped donor's, over all variance."""
        fitted = 2 * np.einsum("dr,dr->", forward, self.cross) - np.einsum(
            "dr,de,er->", forward, self.donor, forward, optimize=True
        )
        return float(fitted / np.trace(self.reference))


def procrustes(moments: StreamMoments) -> StreamMap:
    """Return the best scaled rotation (orthogonal Procrustes, Schönemann 1966)."""
    left, values, right = np.linalg.svd(moments.cross)
    rotation = left @ right
    scale = values.sum() / np.trace(moments.donor)
    forward = scale * rotation
    return _with_offset(moments, forward, rotation.T / scale)


def whitened(moments: StreamMoments, shrinkage: float = SHRINKAGE) -> StreamMap:
    """Return the best rotation between whitened streams, coloured like the reference.

    The map is invertible and gives the donor's stream the reference's covariance;
    the directions are those of canonical correlation analysis.
    """
    donor_root, donor_inverse = _square_roots(moments.donor, shrinkage)
    reference_root, reference_inverse = _square_roots(moments.reference, shrinkage)
    left, _, right = np.linalg.svd(donor_inverse @ moments.cross @ reference_inverse)
    rotation = left @ right
    forward = donor_inverse @ rotation @ reference_root
    return _with_offset(moments, forward, reference_inverse @ rotation.T @ donor_root)


def ridge_pair(moments: StreamMoments, shrinkage: float = SHRINKAGE) -> StreamMap:
    """Return two separate regressions, donor to reference and back.

    Each predicts best, but they are not inverse to each other: a donor mapped
    this way has another function.
    """
    forward = np.linalg.solve(_shrunk(moments.donor, shrinkage), moments.cross)
    backward = np.linalg.solve(_shrunk(moments.reference, shrinkage), moments.cross.T)
    return _with_offset(moments, forward, backward)


def signed_permutation(moments: StreamMoments) -> StreamMap:
    """Return the best matching of channels up to a factor, for streams read by a depthwise."""
    deviations = [np.sqrt(np.diag(c)) for c in (moments.donor, moments.reference)]
    norm = np.outer(*deviations)
    correlation = np.divide(moments.cross, norm, out=np.zeros_like(norm), where=norm > 1e-12)
    permutation = best_matching(np.abs(correlation))
    places = np.arange(len(permutation))
    sign = np.where(correlation[permutation, places] < 0, -1.0, 1.0)
    usable = (deviations[0][permutation] > 1e-6) & (deviations[1] > 1e-6)
    ratio = np.where(usable, deviations[1] / np.where(usable, deviations[0][permutation], 1), 1)
    forward = np.zeros_like(moments.cross)
    forward[permutation, places] = sign * ratio
    backward = np.zeros_like(forward)
    backward[places, permutation] = sign / ratio
    # A depthwise convolution pads with zeros, so a constant cannot be moved across it.
    return StreamMap(forward, backward, np.zeros(len(places)), permutation)


def _with_offset(moments: StreamMoments, forward: np.ndarray, backward: np.ndarray) -> StreamMap:
    return StreamMap(forward, backward, moments.reference_mean - moments.donor_mean @ forward)


def _shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    size = len(covariance)
    return covariance + shrinkage * np.trace(covariance) / size * np.eye(size)


def _square_roots(covariance: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric square root of a shrunk covariance and its inverse."""
    values, vectors = np.linalg.eigh(_shrunk(covariance, shrinkage))
    root = np.sqrt(values)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
