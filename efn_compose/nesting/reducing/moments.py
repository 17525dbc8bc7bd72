"""Statistics of a network's activations on images: means, variances, principal axes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from efn_compose.arch import HEAD_LAYER, block_groups, channel_groups
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.numerics.moments import ChannelMoments


@dataclass(frozen=True)
class Moments:
    """First and second moments of activations.

    Args:
        means: Mean input of each convolution and of the classifier, by layer, (channel,).
        variances: The variances of the same.
        covariances: Covariance of each linear residual stream over all its blocks, by group.
        counts: Number of positions behind each covariance.
        addition_shares: By block, root mean square of what it adds relative to its output.
    """

    means: Mapping[str, np.ndarray]
    variances: Mapping[str, np.ndarray]
    covariances: Mapping[str, np.ndarray]
    counts: Mapping[str, int]
    addition_shares: Mapping[str, float]


def measure_moments(source: WeightSource, inputs: np.ndarray) -> Moments:
    """Run a network once and return its moments.

    Args:
        source: The weights.
        inputs: Preprocessed images (image, height, width, 3).
    """
    means: dict[str, np.ndarray] = {}
    variances: dict[str, np.ndarray] = {}

    def before(layer: str, x: np.ndarray) -> None:
        moments = ChannelMoments.of(x, np.float64)
        means[layer], variances[layer] = moments.mean, moments.variance

    network = NumpyNetwork(source, "float32", before=before)
    groups, streams = channel_groups(source.spec), block_groups(source.spec)
    sums: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
    shares = {}
    x = network.stem(inputs)
    for block in source.spec.blocks:
        entered = x
        x = network.block(x, block)
        if block.has_skip:
            added, whole = float(np.linalg.norm(x - entered)), float(np.linalg.norm(x))
            shares[block.name] = added / max(whole, 1e-30)
        stream = streams[block.name][2]
        if groups[stream].is_linear:
            flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
            nothing = np.zeros(x.shape[-1])
            count, total, squares = sums.get(stream, (0, nothing, np.diag(nothing)))
            sums[stream] = (count + len(flat), total + flat.sum(axis=0), squares + flat.T @ flat)
    features = network.top(x)
    before(HEAD_LAYER, features)
    if source.spec.decoder is not None:
        network.masks(inputs)  # what the decoder's convolutions read
    covariances = {
        name: squares / count - np.outer(total / count, total / count)
        for name, (count, total, squares) in sums.items()
    }
    counts = {name: count for name, (count, _, _) in sums.items()}
    return Moments(means, variances, covariances, counts, shares)
