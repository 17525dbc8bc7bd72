"""Repair composed weights without training: BatchNorm statistics, then project convolutions.

Mixing changes the input of layers. Their BatchNorm statistics are then wrong,
and the network is dead. Statistics are repaired layer by layer, each with those
before it already repaired (REPAIR, Jordan et al. 2023, arXiv:2211.08403), in one
of two ways. Re-estimated, every channel is normalised on the given images.
Matched, every channel keeps the mean and spread that its donor gives it on these
images, so that an unmixed network stays as it is, for any images.

On request the project convolutions of mixed blocks are refitted, so that the
stream after the block comes as close as possible to the stream of a target network.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from efn_compose.arch import ArchSpec, Conventions
from efn_compose.arch.layer_names import Part, block_of, is_part, layer_of
from efn_compose.donors import Donor
from efn_compose.donors.alignment.activations import PositionPicker
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.numerics.moments import ChannelMoments
from efn_compose.numerics.ridge import RIDGE, RidgeRegression

_GATE_LAYERS: tuple[Part, ...] = ("se_reduce", "se_expand")

#: Positions per image and block that a refit sees.
REFIT_POSITIONS = 25


@dataclass(frozen=True)
class RefitTarget:
    """Outputs of a target network's blocks, at fixed random positions.

    Args:
        outputs: (sample, channel) by block name.
        seed: Seed of the positions.
        positions: Positions per image.
    """

    outputs: Mapping[str, np.ndarray]
    seed: int
    positions: int

    @classmethod
    def of(
        cls,
        donor: Donor,
        inputs: np.ndarray,
        blocks: Collection[str],
        *,
        positions: int = REFIT_POSITIONS,
        seed: int = 0,
    ) -> "RefitTarget":
        """Run a donor over preprocessed images and keep the outputs of some blocks."""
        picker = PositionPicker(positions, (seed,))
        outputs: dict[str, np.ndarray] = {}

        def observe(point: str, x: tf.Tensor) -> None:
            if point in blocks:
                outputs[point] = picker.pick(x)

        StepwiseNetwork.of(donor).run(inputs, after=observe)
        return cls(outputs, seed, positions)


def observed_statistics(donor: Donor, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return a donor's tensors with BatchNorm statistics taken from images.

    Composed like the weights themselves, they are what `repair(match=...)` needs.

    Args:
        donor: The donor.
        inputs: (image, height, width, 3), preprocessed.

    Returns:
        Arrays by canonical name. Moving means and variances are those of the images,
        biases of squeeze-and-excite are the mean values before its activations;
        everything else is the donor's. The donor runs as it is, unrepaired.
    """
    network = StepwiseNetwork.of(donor)
    observed = dict(network.tensors)

    def before(layer: str, x: tf.Tensor) -> None:
        if layer.endswith("_bn"):
            moments = _moments(x)
            observed[f"{layer}/moving_mean"] = moments.mean
            observed[f"{layer}/moving_variance"] = moments.variance

    def after(point: str, x: tf.Tensor) -> None:
        if is_part(point, *_GATE_LAYERS):
            observed[f"{point}/bias"] = _moments(x).mean

    network.run(inputs, before=before, after=after)
    return observed


def repair(
    spec: ArchSpec,
    conventions: Conventions,
    tensors: Mapping[str, np.ndarray],
    inputs: np.ndarray,
    *,
    match: Mapping[str, np.ndarray] | None = None,
    refit: RefitTarget | None = None,
    ridge: float = RIDGE,
) -> dict[str, np.ndarray]:
    """Return composed weights with BatchNorm statistics that fit the new input of each layer.

    All images pass through each layer together, so the statistics are exact for
    them. Memory holds the network's largest feature map for all images, a few times.

    Args:
        spec: The network.
        conventions: Padding, BatchNorm epsilon, activation.
        tensors: Arrays by canonical name; not changed.
        inputs: (image, height, width, 3), preprocessed; 200 to 2,000 training images.
        match: Statistics of these images in the donors (`observed_statistics`),
            composed like the weights; None re-estimates instead of matching.
        refit: Outputs of a target network on the same inputs; the project
            convolution of each block in it is refitted.
        ridge: Penalty of the refit, as a share of the features' mean variance.

    Returns:
        New arrays by canonical name; untouched tensors are shared.

    Example:
        >>> repaired = repair(spec, conventions, mixed, inputs)  # doctest: +SKIP
    """
    return _Repair(spec, conventions, tensors, match, refit, ridge).run(inputs)


class _Repair:
    """One pass of all images through a network that is repaired on the way."""

    def __init__(
        self,
        spec: ArchSpec,
        conventions: Conventions,
        tensors: Mapping[str, np.ndarray],
        match: Mapping[str, np.ndarray] | None,
        refit: RefitTarget | None,
        ridge: float,
    ) -> None:
        self.network = StepwiseNetwork(spec, conventions, tensors)
        self.tensors = self.network.tensors
        self.epsilon = conventions.bn_epsilon
        self.match = match
        self.ridge = ridge
        # Without a target nothing is refitted, and nothing is picked.
        refit = refit or RefitTarget({}, 0, REFIT_POSITIONS)
        self.targets = refit.outputs
        self.picker = PositionPicker(refit.positions, (refit.seed,))
        self.blocks = {block.name: block for block in spec.blocks}
        #: The block that reads the output of a point; nothing reads the last one's.
        self.reader = dict(zip(["stem_activation", *self.blocks], self.blocks, strict=False))
        self.stream: dict[str, np.ndarray] = {}
        self.biases: dict[str, np.ndarray] = {}

    def run(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.network.run(inputs, before=self._before, after=self._after)
        return self.tensors

    def _before(self, layer: str, x: tf.Tensor) -> None:
        block = block_of(layer)
        if is_part(layer, "project_conv") and block in self.targets:
            self._refit(block, x)
        elif layer.endswith("_bn"):
            self._set_statistics(layer, x)
        elif is_part(layer, *_GATE_LAYERS) and self.match is not None:
            # Gates have no BatchNorm; their bias keeps the mean before the activation.
            kernel = self.tensors[f"{layer}/kernel"].astype(np.float64)
            mean = _moments(x).mean @ kernel[0, 0]
            name = f"{layer}/bias"
            bias = self.match[name] - mean
            self.tensors[name] = bias.astype(self.tensors[name].dtype)

    def _after(self, point: str, x: tf.Tensor) -> None:
        reader = self.reader.get(point, "")
        if reader in self.targets and self.blocks[reader].has_skip:
            self.stream[reader] = self.picker.pick(x)

    def _refit(self, block: str, x: tf.Tensor) -> None:
        target = self.targets[block]
        if self.blocks[block].has_skip:
            # The addition also makes up for what went wrong earlier in the stream.
            target = target - self.stream.pop(block)
        fit = RidgeRegression(self.picker.pick(x), target).fit(self.ridge)
        name = f"{layer_of(block, 'project_conv')}/kernel"
        kernel = self.tensors[name]
        self.tensors[name] = fit.kernel.astype(kernel.dtype).reshape(kernel.shape)
        self.biases[layer_of(block, "project_bn")] = fit.bias

    def _set_statistics(self, layer: str, x: tf.Tensor) -> None:
        moments = _moments(x)
        mean, variance = moments.mean, moments.variance
        now = {"moving_mean": mean, "moving_variance": variance}
        if layer in self.biases:
            # A refitted convolution: the BatchNorm adds its bias and nothing else.
            now["gamma"] = np.sqrt(variance + self.epsilon)
            now["beta"] = mean + self.biases[layer]
        elif self.match is not None:
            before = {role: self.match[f"{layer}/{role}"].astype(np.float64) for role in now}
            stored = {role: self.tensors[f"{layer}/{role}"].astype(np.float64) for role in now}
            ratio = np.sqrt((variance + 1e-12) / (before["moving_variance"] + 1e-12))
            spread = (stored["moving_variance"] + self.epsilon) * ratio**2
            shift = (before["moving_mean"] - stored["moving_mean"]) * ratio
            # Never gamma: batch statistics replace these in training, gamma would stay.
            variance = np.maximum(spread - self.epsilon, 0)
            now = {"moving_mean": mean - shift, "moving_variance": variance}
        for role, values in now.items():
            name = f"{layer}/{role}"
            self.tensors[name] = values.astype(self.tensors[name].dtype)


def _moments(x: tf.Tensor) -> ChannelMoments:
    """Return the moments of a layer's input, float64."""
    mean, variance = (part.numpy().astype(np.float64) for part in tf.nn.moments(x, _but_last(x)))
    return ChannelMoments(int(x.shape[0]), mean, variance)


def _but_last(x: tf.Tensor) -> tuple[int, ...]:
    return tuple(range(len(x.shape) - 1))
