"""Moments of two donors' activations on the same images.

Both networks see the same unlabelled images. At every channel group their
activations are taken at the same random positions, and only first and second
moments are kept, so that memory does not grow with the number of images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec, block_groups, channel_groups
from efn_compose.arch.layer_names import block_of, is_part
from efn_compose.donors.donor import Donor
from efn_compose.numerics.pixel_array import PixelArray

#: Positions per image and feature map; more adds nothing, as neighbours are alike.
POSITIONS = 25


class PositionPicker:
    """Takes feature maps at random positions, the same ones for every map of one size.

    Args:
        positions: Positions per image; all where a map has fewer.
        seed: Numbers that choose the positions; pickers with equal seeds pick alike.
    """

    def __init__(self, positions: int, seed: tuple[int, ...]) -> None:
        self.positions = positions
        self.seed = seed
        self._chosen: dict[tuple[int, int, int], np.ndarray] = {}

    def pick(self, x: Any) -> np.ndarray:
        """Return activations (sample, channel) of a tensor (image, height, width, channel)."""
        import tensorflow as tf

        count, height, width, channels = x.shape
        if (count, height, width) not in self._chosen:
            rng = np.random.default_rng((*self.seed, height, width))
            order = rng.random((count, height * width)).argsort(axis=1)
            self._chosen[count, height, width] = order[:, : self.positions]
        flat = tf.reshape(x, (count, height * width, channels))
        picked = tf.gather(flat, self._chosen[count, height, width], batch_dims=1)
        return picked.numpy().reshape(-1, channels)


@dataclass(frozen=True)
class Tap:
    """One place at which a group is observed: the walk's point and the group's name."""

    point: str
    group: str


def taps(spec: ArchSpec) -> tuple[Tap, ...]:
    """Return where each channel group is observed, in network order.

    Residual streams are observed after every block that writes to them, expanded
    channels after the depthwise convolution (fused blocks: after the expansion),
    stem, top and squeeze-and-excite channels after their activation.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> [tap.point for tap in taps(arch_spec("lite0"))][:3]
        ['stem_activation', 'stage1_block1', 'stage2_block1_depthwise_activation']
    """
    groups = channel_groups(spec)
    found = [Tap("stem_activation", "stem")]
    for block in spec.blocks:
        _, mid, out = block_groups(spec)[block.name]
        if block.has_expand:
            kind = "depthwise" if block.kind == "mbconv" else "expand"
            found.append(Tap(f"{block.name}_{kind}_activation", mid))
        if f"{block.name}_se" in groups:
            found.append(Tap(f"{block.name}_se_activation", f"{block.name}_se"))
        found.append(Tap(block.name, out))
    if "top" in groups:
        found.append(Tap("top_activation", "top"))
    return tuple(found)


class PairMoments:
    """Running first and second moments of two sets of channels seen together.

    Args:
        size: Number of channels of each set.
        keeps_covariance: Whether to keep the two sets' own full covariances and
            double precision, which linear maps need and permutations do not.
    """

    def __init__(self, size: int, *, keeps_covariance: bool = False) -> None:
        self.count = 0
        self._shift = (np.zeros(size), np.zeros(size))
        self._sums = np.zeros((2, size))
        self._squares = np.zeros((2, size))
        self._cross = np.zeros((size, size), np.float64 if keeps_covariance else np.float32)
        self._own = np.zeros((2, size, size)) if keeps_covariance else None

    def add(self, one: np.ndarray, other: np.ndarray) -> None:
        """Add samples (sample, channel) of both sets, row by row the same place."""
        if not self.count:
            # Sums about a first guess of the mean keep float32 products precise.
            self._shift = one.mean(axis=0), other.mean(axis=0)
        pair = one - self._shift[0], other - self._shift[1]
        self.count += len(one)
        for number, values in enumerate(pair):
            self._sums[number] += values.sum(axis=0, dtype=np.float64)
            self._squares[number] += np.einsum("sc,sc->c", values, values, dtype=np.float64)
            if self._own is not None:
                self._own[number] += values.T @ values
        self._cross += pair[0].T @ pair[1]

    def _centred(self, sums: np.ndarray, one: int, other: int) -> np.ndarray:
        means = self._sums / self.count
        return sums / self.count - np.outer(means[one], means[other])

    def mean(self, number: int) -> np.ndarray:
        """Return the channel means of set 0 or 1, float64."""
        return self._sums[number] / self.count + self._shift[number]

    def variance(self, number: int) -> np.ndarray:
        """Return the channel variances of set 0 or 1, float64."""
        mean = self._sums[number] / self.count
        return np.maximum(self._squares[number] / self.count - mean**2, 0)

    @property
    def cross_covariance(self) -> np.ndarray:
        """Covariance (channel of set 0, channel of set 1), float64."""
        return self._centred(self._cross, 0, 1)

    def covariance(self, number: int) -> np.ndarray:
        """Return the own covariance (channel, channel) of set 0 or 1, float64."""
        if self._own is None:
            raise ValueError("These moments were collected without own covariances.")
        return self._centred(self._own[number], number, number)

    @property
    def correlation(self) -> np.ndarray:
        """Correlation (channel of set 0, channel of set 1); 0 for channels that never change."""
        deviations = [np.sqrt(self.variance(number)) for number in (0, 1)]
        inverse = [
            np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
            for deviation in deviations
        ]
        return self.cross_covariance * inverse[0][:, None] * inverse[1]


@dataclass(frozen=True)
class PairStatistics:
    """What alignment needs to know about a donor and its reference.

    Args:
        groups: By tap point, moments of (donor, reference) channels.
        additions: By block, moments of the donor's project BatchNorm output with
            itself, from which a mapped BatchNorm gets its statistics.
    """

    groups: Mapping[str, PairMoments]
    additions: Mapping[str, PairMoments]


def compare_activations(
    donor: Donor,
    reference: Donor,
    images: PixelArray,
    *,
    positions: int = POSITIONS,
    batch_size: int = 16,
    seed: int = 0,
) -> PairStatistics:
    """Run two donors over the same images and return their activations' moments.

    Args:
        donor: A harmonised donor.
        reference: A donor of the same network and conventions.
        images: (image, height, width, 3), RGB, 0-255; no labels are needed.
        positions: Random positions per image and feature map.
        batch_size: Images per step; bounds memory.
        seed: Chooses the positions; both donors are seen at the same ones.

    Returns:
        Moments for every tap and for every block's addition to its stream.
    """
    linear = {name for name, group in channel_groups(donor.spec).items() if group.is_linear}
    by_point = {tap.point: tap.group for tap in taps(donor.spec)}
    groups: dict[str, PairMoments] = {}
    additions: dict[str, PairMoments] = {}
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        seen = [
            _sample(one, batch, by_point, positions, (seed, start)) for one in (donor, reference)
        ]
        for point, samples in seen[0].items():
            if point in by_point:
                keeps = by_point[point] in linear
                moments = groups.setdefault(
                    point, PairMoments(samples.shape[1], keeps_covariance=keeps)
                )
                moments.add(samples, seen[1][point])
            else:
                _take_addition(additions, point, samples)
    return PairStatistics(groups, additions)


def addition_moments(
    donor: Donor,
    images: PixelArray,
    *,
    positions: int = POSITIONS,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, PairMoments]:
    """Return the `additions` of `compare_activations` for one donor alone."""
    additions: dict[str, PairMoments] = {}
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        for point, samples in _sample(donor, batch, {}, positions, (seed, start)).items():
            _take_addition(additions, point, samples)
    return additions


def _take_addition(additions: dict[str, PairMoments], point: str, samples: np.ndarray) -> None:
    """Take samples of what a block adds to its stream into that block's moments."""
    block = block_of(point)
    moments = additions.setdefault(block, PairMoments(samples.shape[1], keeps_covariance=True))
    moments.add(samples, samples)


def _sample(
    donor: Donor,
    images: np.ndarray,
    points: Mapping[str, str],
    positions: int,
    seed: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Return activations (sample, channel) at random positions, by point, in network order."""
    from efn_compose.models.stepwise import StepwiseNetwork

    samples: dict[str, np.ndarray] = {}
    picker = PositionPicker(positions, seed)

    def observe(point: str, x: Any) -> None:
        if point in points or is_part(point, "project_bn"):
            samples[point] = picker.pick(x)

    StepwiseNetwork.of(donor).run(donor.preprocess(images), after=observe)
    return samples


def channel_deviations(
    donor: Donor,
    images: PixelArray,
    *,
    positions: int = POSITIONS,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return how much each channel changes over images and positions.

    Args:
        donor: A donor.
        images: (image, height, width, 3), RGB, 0-255; no labels are needed.
        positions: Random positions per image and feature map.
        batch_size: Images per step; bounds memory.
        seed: Chooses the positions.

    Returns:
        Standard deviations (channel,) float64 by group, except residual streams.
    """
    streams = {group.name for group in channel_groups(donor.spec).values() if group.is_linear}
    points = {tap.point: tap.group for tap in taps(donor.spec) if tap.group not in streams}
    samples: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        for point, values in _sample(donor, batch, points, positions, (seed, start)).items():
            if point in points:
                samples.setdefault(points[point], []).append(values)
    return {
        group: np.concatenate(values).std(axis=0, dtype=np.float64)
        for group, values in samples.items()
    }
