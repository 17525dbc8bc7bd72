"""Repair of a cut network on images: BatchNorm matched, project convolutions refitted."""

from collections.abc import Iterator

import numpy as np

from efn_compose.arch import BlockSpec
from efn_compose.arch.layer_names import layer_of
from efn_compose.nesting.plan import group_of
from efn_compose.nesting.reducing.reduction import Reduction
from efn_compose.nesting.running.forward import NumpyNetwork, Statistics, batch_statistics
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.numerics.moments import ChannelMoments
from efn_compose.numerics.ridge import RidgeRegression

#: Strengths tried for the pull towards the cut weights, as shares of the mean feature power.
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: Positions per image in the regression, a bound on memory and time.
_MAX_POSITIONS = 25
_HELD_OUT_SHARE = 4
#: Bound on the gain that makes up for a channel whose variance BatchNorm's epsilon swallows.
_MAX_GAIN = 10.0


def refit_on_images(
    reduction: Reduction, tensors: dict[str, np.ndarray], inputs: np.ndarray
) -> dict[str, np.ndarray]:
    """Return a cut network's tensors, repaired block by block.

    Both networks run side by side. Each BatchNorm of the small one is re-estimated
    on what reaches it, and scaled so that each unit has the mean and variance it
    had in the large one (REPAIR, Jordan et al. 2022, arXiv:2211.08403); each
    project convolution is refitted by least squares, so that the small stream
    follows the large one seen in the small basis, including what the repeats that
    were dropped behind it added.

    Args:
        reduction: The cut.
        tensors: The cut tensors by canonical name; not changed.
        inputs: Preprocessed images (image, height, width, 3).
    """
    repaired = dict(tensors)
    source = reduction.source
    epsilon = source.conventions.bn_epsilon
    small_source = WeightSource(
        "cut", reduction.target, source.conventions, source.classes, repaired.__getitem__
    )
    wanted: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def remember(layer: str, y: np.ndarray) -> None:
        if layer.endswith("_bn"):
            wanted[layer] = batch_statistics(layer, y, y, y)

    def match(
        layer: str, x: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        gamma = reduction.tensor(f"{layer}/gamma")
        basis = reduction.bases[group_of(gamma.axes[0])]
        if basis.kept is None:
            # A refitted project layer has the statistics of this very input.
            return mean, variance
        mean, variance = batch_statistics(layer, x, mean, variance)
        large_mean, large_variance = (
            basis.reduce(values, 0) for values in wanted[reduction.original(gamma).layer]
        )
        gain = np.minimum(np.sqrt((variance + epsilon) / np.maximum(variance, 1e-30)), _MAX_GAIN)
        sign = np.where(repaired[gamma.name] < 0, -1, 1)
        repaired[gamma.name] = (sign * np.sqrt(large_variance) * gain).astype(np.float32)
        repaired[f"{layer}/beta"] = large_mean.astype(np.float32)
        repaired[f"{layer}/moving_mean"] = mean.astype(np.float32)
        repaired[f"{layer}/moving_variance"] = variance.astype(np.float32)
        return mean, variance

    large = NumpyNetwork(source, "float32", observe=remember)
    small = NumpyNetwork(small_source, "float32", statistics=match)
    x_large, x_small = large.stem(inputs), small.stem(inputs)
    for block, originals in _pairs(reduction):
        for original in originals:
            x_large = large.block(x_large, original)
        entering = small.before_project(x_small, block)
        if not block.is_single_conv:
            goal = reduction.stream_basis(block.name).reduce(x_large, 3)
            residual = goal - x_small if block.has_skip else goal
            _refit(repaired, block.name, entering, residual, epsilon)
        y = NumpyNetwork(
            small_source, "float32", statistics=match if block.is_single_conv else None
        ).project(entering, block)
        x_small = y + x_small if block.has_skip else y
    large.top(x_large)
    small.top(x_small)
    if source.spec.decoder is not None:
        large.masks(inputs)
        matched = NumpyNetwork(small_source, "float32", statistics=_of_decoder(match))
        matched.masks(inputs)
    return repaired


def _of_decoder(match: Statistics) -> Statistics:
    """Return statistics that are matched in the decoder alone; the encoder has been repaired."""

    def statistics(
        layer: str, x: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        is_decoder = layer.startswith("decoder_")
        return match(layer, x, mean, variance) if is_decoder else (mean, variance)

    return statistics


def _pairs(reduction: Reduction) -> Iterator[tuple[BlockSpec, list[BlockSpec]]]:
    """Yield each small block with the large ones it stands for: its own and those dropped behind."""
    large = list(reduction.source.spec.blocks)
    names = [block.name for block in large]
    starts = [names.index(reduction.blocks[block.name]) for block in reduction.target.blocks]
    ends = [*starts[1:], len(large)]
    for block, start, end in zip(reduction.target.blocks, starts, ends, strict=True):
        yield block, large[start:end]


def _refit(
    tensors: dict[str, np.ndarray],
    block: str,
    features: np.ndarray,
    goal: np.ndarray,
    epsilon: float,
) -> None:
    """Refit a project convolution and its BatchNorm, pulled towards their old values."""
    conv = f"{layer_of(block, 'project_conv')}/kernel"
    norm = layer_of(block, "project_bn")
    z, y = _positions(features), _positions(goal)
    scale = tensors[f"{norm}/gamma"] / np.sqrt(tensors[f"{norm}/moving_variance"] + epsilon)
    start = tensors[conv][0, 0] * scale.astype(np.float64)
    kernel = _refitted(z, y, start)
    read = ChannelMoments.of(_samples(z) @ kernel)
    tensors[conv] = kernel[None, None].astype(np.float32)
    tensors[f"{norm}/gamma"] = np.sqrt(read.variance + epsilon).astype(np.float32)
    tensors[f"{norm}/beta"] = _samples(y).mean(axis=0).astype(np.float32)
    tensors[f"{norm}/moving_mean"] = read.mean.astype(np.float32)
    tensors[f"{norm}/moving_variance"] = read.variance.astype(np.float32)


def _positions(maps: np.ndarray) -> np.ndarray:
    """Return up to 25 positions of each image, float64 (image, position, channel)."""
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    count = min(flat.shape[1], _MAX_POSITIONS)
    return flat[:, np.linspace(0, flat.shape[1] - 1, count).round().astype(int)].astype(np.float64)


def _refitted(z: np.ndarray, y: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the kernel that fits held-out images best: refitted, or `start` where nothing helps."""
    held_out = max(1, len(z) // _HELD_OUT_SHARE)
    (z_fit, z_out), (y_fit, y_out) = (
        (_samples(part[:-held_out]), _samples(part[-held_out:])) for part in (z, y)
    )
    regression = RidgeRegression(z_fit, y_fit, start)
    errors = {ridge: regression.fit(ridge).error(z_out, y_out) for ridge in _RIDGES}
    best = min(errors, key=errors.__getitem__)
    if regression.unchanged().error(z_out, y_out) <= errors[best]:
        return start
    return RidgeRegression(_samples(z), _samples(y), start).fit(best).kernel


def _samples(positions: np.ndarray) -> np.ndarray:
    """Return (sample, channel) of (image, position, channel)."""
    return positions.reshape(-1, positions.shape[-1])
