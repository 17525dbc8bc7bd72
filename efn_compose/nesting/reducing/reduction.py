"""The tensors of a network cut from a larger one: kept channels, rotated streams, folded means.

Units between two nonlinearities can only be kept or dropped. A linear residual
stream can be rotated freely, so it is cut to its principal axes (the rotation of
SliceGPT, Ashkboos et al. 2024, arXiv:2401.15024, exact here because nothing
normalises the stream). The part that is cut away enters the next layer as its mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from efn_compose.arch import (
    BN_ROLES,
    HEAD_LAYER,
    ArchSpec,
    ChannelGroup,
    TensorSpec,
    block_groups,
    channel_groups,
    inventory,
)
from efn_compose.arch.layer_names import conv_of, is_part, norm_of, skip_conv_of
from efn_compose.errors import NestingError, describe_problems
from efn_compose.nesting.plan import block_of, group_of, tensors_by_name
from efn_compose.nesting.reducing.moments import Moments
from efn_compose.nesting.reducing.saliency import weight_saliency
from efn_compose.nesting.running.weight_source import WeightSource


@dataclass(frozen=True)
class Basis:
    """The remainder of a channel group: kept channels, or axes of a rotated stream.

    Args:
        matrix: (kept, channel); rows of the identity, or orthonormal axes.
        kept: The kept channels, None for axes.
    """

    matrix: np.ndarray
    kept: np.ndarray | None

    @classmethod
    def of_channels(cls, kept: np.ndarray, size: int) -> "Basis":
        """Return the basis that keeps some channels, in their old order."""
        kept = np.sort(kept)
        return cls(np.eye(size)[kept], kept)

    def reduce(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Return an array with one axis reduced to the basis."""
        if self.kept is not None:
            return np.take(values, self.kept, axis=axis)
        return np.moveaxis(np.tensordot(values, self.matrix, axes=(axis, 1)), -1, axis)

    def lost(self, mean: np.ndarray) -> np.ndarray:
        """Return the part of a mean that the basis does not carry."""
        return mean - self.matrix.T @ (self.matrix @ mean)


def choose_repeats(
    donor: ArchSpec, target: ArchSpec, shares: Mapping[str, float]
) -> dict[str, str]:
    """Return for each target block the donor's block it keeps.

    The first block of a stage stays; of the others those that change their
    stream most.

    Args:
        donor: The large network.
        target: The small one.
        shares: By block, how much it adds relative to its output.
    """
    chosen: dict[str, str] = {}
    for stage in range(1, target.stage_count + 1):
        wanted = [block.name for block in target.stage_blocks(stage)]
        first, *others = (block.name for block in donor.stage_blocks(stage))
        strongest = sorted(others, key=lambda name: -shares.get(name, 0.0))[: len(wanted) - 1]
        kept = [first, *(name for name in others if name in strongest)]
        chosen.update(zip(wanted, kept, strict=True))
    return chosen


class Reduction:
    """The cut from one network to a smaller one, ready to give any tensor.

    Args:
        source: The large network's weights.
        target: The small network.
        blocks: For each target block the donor's block it keeps.
        moments: Of the large network's activations.

    Raises:
        NestingError: A group of the target is wider, or wired differently.
    """

    def __init__(
        self,
        source: WeightSource,
        target: ArchSpec,
        blocks: Mapping[str, str],
        moments: Moments,
    ) -> None:
        self.source, self.target, self.blocks, self.moments = source, target, blocks, moments
        self._groups = channel_groups(source.spec, source.classes)
        self.bases = self._choose_bases()

    def tensor(self, name: str) -> TensorSpec:
        """Return a tensor of the small network by name."""
        return tensors_by_name(self.target, self.source.classes)[name]

    def original(self, tensor: TensorSpec) -> TensorSpec:
        """Return the large network's tensor that a target tensor is cut from."""
        block = block_of(tensor)
        name = tensor.name if block is None else tensor.name.replace(block, self.blocks[block], 1)
        return tensors_by_name(self.source.spec, self.source.classes)[name]

    def all_tensors(self) -> dict[str, np.ndarray]:
        """Return every tensor of the small network, float32."""
        tensors = {}
        for tensor in inventory(self.target, self.source.classes):
            if tensor.role == "kernel" and self._is_rotated(tensor):
                tensors.update(self._rotated_layer(tensor))
            elif tensor.name not in tensors:
                tensors[tensor.name] = self._reduced(tensor)
        return {name: values.astype(np.float32) for name, values in tensors.items()}

    def stream_basis(self, block: str) -> Basis:
        """Return the basis of the stream that a target block adds to."""
        return self.bases[block_groups(self.target)[block][2]]

    def _choose_bases(self) -> dict[str, Basis]:
        sizes = {
            name: group.size
            for name, group in channel_groups(self.target, self.source.classes).items()
        }
        homes: dict[str, set[str]] = {}
        for tensor in inventory(self.target, self.source.classes):
            for mine, theirs in zip(tensor.axes, self.original(tensor).axes, strict=True):
                if mine.group and theirs.group:
                    homes.setdefault(mine.group, set()).add(theirs.group)
        problems = []
        back: dict[str, str] = {}
        for name, large in homes.items():
            if len(large) > 1 or back.setdefault(min(large), name) != name:
                problems.append(f"{name}: a block of only one network adds its input to its output")
            elif self._groups[min(large)].size < sizes[name]:
                problems.append(
                    f"{name}: {sizes[name]} channels cannot be cut from "
                    f"{self._groups[min(large)].size}"
                )
        if problems:
            raise NestingError(
                describe_problems(
                    f"{self.target.variant} cannot be cut from {self.source.spec.variant}.",
                    problems,
                    "Choose a target that is narrower and wired alike.",
                )
            )
        return {
            name: self._basis(self._groups[min(large)], sizes[name])
            for name, large in homes.items()
        }

    def _basis(self, group: ChannelGroup, size: int) -> Basis:
        if size == group.size:
            return Basis.of_channels(np.arange(size), size)
        if group.name in self.moments.covariances:
            _, axes = np.linalg.eigh(self._covariance(group))
            return Basis(axes.T[::-1][:size], None)
        return Basis.of_channels(
            np.argsort(-self._saliency(group), kind="stable")[:size], group.size
        )

    def _covariance(self, group: ChannelGroup) -> np.ndarray:
        """Return a stream's covariance, measured and, as far as samples are few, expected.

        Expected is what the project kernels would make of independent units with
        the measured variances; it has full rank however few images there are.
        """
        measured = self.moments.covariances[group.name]
        expected = np.zeros_like(measured)
        for member in group.members:
            layer = member.tensor.layer
            if member.use == "out" and is_part(layer, "project_conv"):
                kernel = self.source.read(member.tensor.name)[0, 0] * self._bn_scale(layer)
                expected += kernel.T @ (self.moments.variances[layer][:, None] * kernel)
        expected *= np.trace(measured) / max(np.trace(expected), 1e-30)
        count = self.moments.counts[group.name]
        return (count * measured + group.size * expected) / (count + group.size)

    def _saliency(self, group: ChannelGroup) -> np.ndarray:
        """Return how much each channel moves the layers that read it."""
        score = np.zeros(group.size)
        for member in group.members:
            layer = member.tensor.layer
            if member.use != "in" or layer not in self.moments.variances:
                continue
            kernel = self.source.read(member.tensor.name).astype(np.float64)
            scale = self._bn_scale(layer) if layer.endswith("_conv") else 1.0
            rows = np.square(kernel * scale).sum(
                axis=tuple(set(range(kernel.ndim)) - {member.axis})
            )
            effect = rows * self.moments.variances[layer]
            score += effect / max(effect.sum(), 1e-30)
        if not score.any():
            # Without a classifier nothing reads the top: what varies most stays.
            score = self.moments.variances[HEAD_LAYER]
        # Units silent on all images are told apart by their weights: some are dead, some rare.
        weights = weight_saliency(group, self.source.read)
        return score / max(score.sum(), 1e-30) + 1e-9 * weights / max(weights.max(), 1e-30)

    def _bn(self, conv: str) -> dict[str, np.ndarray]:
        layer = norm_of(conv)
        return {role: self.source.read(f"{layer}/{role}").astype(np.float64) for role in BN_ROLES}

    def _bn_scale(self, conv: str) -> np.ndarray:
        norm = self._bn(conv)
        epsilon = self.source.conventions.bn_epsilon
        return norm["gamma"] / np.sqrt(norm["moving_variance"] + epsilon)

    def _is_rotated(self, tensor: TensorSpec) -> bool:
        group = tensor.axes[-1].group
        return group is not None and self.bases[group].kept is None

    def _lost_input(self, tensor: TensorSpec) -> np.ndarray | None:
        """Return the contribution of a target kernel's removed inputs to each of the large outputs."""
        original = self.original(tensor)
        axis = next((n for n, one in enumerate(original.axes) if one.use == "in"), None)
        if axis is None:
            return None
        lost = self.bases[group_of(tensor.axes[axis])].lost(self.moments.means[original.layer])
        kernel = self.source.read(original.name).astype(np.float64)
        return lost @ kernel.sum(axis=tuple(range(axis)))

    def _reduced(self, tensor: TensorSpec) -> np.ndarray:
        original = self.original(tensor)
        values = self.source.read(original.name).astype(np.float64)
        values = values + self._shift(tensor)
        for number, axis in enumerate(tensor.axes):
            if axis.group is not None:
                values = self.bases[axis.group].reduce(values, number)
        return values

    def _shift(self, tensor: TensorSpec) -> np.ndarray | float:
        """Return the correction of a bias or moving mean for removed inputs."""
        if tensor.role == "bias":
            lost = self._lost_input(self.tensor(f"{tensor.layer}/kernel"))
        elif tensor.role == "moving_mean" and not is_part(tensor.layer, "depthwise_bn"):
            convolutions = [conv_of(tensor.layer), skip_conv_of(tensor.layer)]
            known = tensors_by_name(self.target, self.source.classes)
            kernels = [known[f"{n}/kernel"] for n in convolutions if f"{n}/kernel" in known]
            parts = [self._lost_input(kernel) for kernel in kernels]
            lost = -sum((part for part in parts if part is not None), np.zeros(()))
        else:
            lost = None
        return 0.0 if lost is None else lost

    def _rotated_layer(self, tensor: TensorSpec) -> dict[str, np.ndarray]:
        """Return kernel and BatchNorm of a layer whose output stream is rotated."""
        original = self.original(tensor)
        basis = self.bases[group_of(tensor.axes[-1])]
        norm, scale = self._bn(original.layer), self._bn_scale(original.layer)
        kernel = self.source.read(original.name).astype(np.float64) * scale
        for number, axis in enumerate(tensor.axes):
            if axis.group is not None:
                kernel = self.bases[axis.group].reduce(kernel, number)
        lost = self._lost_input(tensor)
        bias = norm["beta"] - norm["moving_mean"] * scale
        if lost is not None:
            bias = bias + lost * scale
        # BatchNorm undone and redone: unit-variance input as far as the old gammas tell.
        variance = np.square(basis.matrix) @ np.square(norm["gamma"])
        epsilon = self.source.conventions.bn_epsilon
        layer = tensor.layer.removesuffix("_conv") + "_bn"
        return {
            tensor.name: kernel,
            f"{layer}/gamma": np.sqrt(variance + epsilon),
            f"{layer}/beta": basis.matrix @ norm["beta"],
            f"{layer}/moving_mean": basis.matrix @ (norm["beta"] - bias),
            f"{layer}/moving_variance": variance,
        }
