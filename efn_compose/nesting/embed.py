"""The tensors of a nested network, one at a time.

Exact embedding: let O be a donor's positions in a group and N all others. With
T[O_in, O_out] the donor's kernel, T[N_in, O_out] = 0 for every kernel that reads
a group, and gamma = beta = 0 on O wherever a layer adds to a stream in a repeat
the donor lacks, the activations on O equal the donor's layer by layer, with moving
and with batch statistics. T[., N_out] is free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from efn_compose.arch import HEAD_LAYER, TensorSpec, channel_groups, inventory
from efn_compose.arch.layer_names import conv_of, is_part
from efn_compose.nesting.fills import HE_SQUARED_NORM, fresh_values, split_rows, tensor_rng
from efn_compose.nesting.plan import (
    NestingPlan,
    Occupant,
    group_of,
    is_stream_producer,
    tensors_by_name,
)
from efn_compose.nesting.reducing.saliency import weight_saliency
from efn_compose.nesting.running.weight_source import WeightSource


@dataclass
class Embedding:
    """The function from a target tensor to its values.

    Args:
        plan: Where everything goes.
        donors: The weights, in the plan's order.
        head_weights: Share of each donor in the logits; they sum to one.
        fill: Values of the free entries: "he", "replicate" or "zero".
        seed: Decides the free entries.
        dtype: "float32", or "float64" for exactness tests.
        statistics: Measured BatchNorm statistics that replace guessed ones, by name.

    Example:
        >>> embedding = Embedding(plan, [source], [1.0])  # doctest: +SKIP
        >>> embedding.tensor(inventory(plan.target)[0]).shape  # doctest: +SKIP
        (3, 3, 3, 184)
    """

    plan: NestingPlan
    donors: Sequence[WeightSource]
    head_weights: Sequence[float]
    fill: str = "he"
    seed: int = 0
    dtype: str = "float32"
    statistics: Mapping[str, np.ndarray] = field(default_factory=dict)
    _sources: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def tensor(self, tensor: TensorSpec) -> np.ndarray:
        """Return one tensor of the target, in the embedding's dtype."""
        if tensor.name in self.statistics:
            return self.statistics[tensor.name].astype(self.dtype, copy=False)
        occupants = self.plan.occupants(tensor)
        values = fresh_values(tensor, self.fill, self.seed).astype(self.dtype, copy=False)
        if tensor.role == "moving_variance" and self.fill != "zero":
            self._scale_fresh_variance(tensor, values, occupants)
        if is_stream_producer(tensor):
            self._silence(tensor, values)
        for occupant in occupants:
            self._silence_consumers(tensor, values, occupant)
        for occupant in occupants:
            if occupant.is_copy and is_stream_producer(tensor):
                continue
            self._place(values, occupant)
        if self.fill == "replicate" and occupants:
            self._replicate(tensor, values)
        return values

    def _silence(self, tensor: TensorSpec, values: np.ndarray) -> None:
        """Zero the addition of a layer to donors' channels, and to copies of them."""
        if self.fill != "he" and self.plan.is_extra_for_all(tensor):
            values[:] = 0
        else:
            values[self.plan.owned(group_of(tensor.axes[0]))] = 0

    def _silence_consumers(
        self, tensor: TensorSpec, values: np.ndarray, occupant: Occupant
    ) -> None:
        """Zero everything that flows into a donor's outputs; its own weights come after."""
        if tensor.layer == HEAD_LAYER:
            values[:] = 0
        elif any(axis.use == "in" for axis in tensor.axes):
            values[..., occupant.index[-1]] = 0

    def _place(self, values: np.ndarray, occupant: Occupant) -> None:
        own = self.donors[occupant.donor].read(occupant.tensor.name)
        if occupant.tensor.layer == HEAD_LAYER:
            values[occupant.selector] += self.head_weights[occupant.donor] * own
        else:
            values[occupant.selector] = own

    def _scale_fresh_variance(
        self, tensor: TensorSpec, values: np.ndarray, occupants: list[Occupant]
    ) -> None:
        """Guess the variance of new channels from the donor's: both see the same inputs.

        A donor's channel with kernel k and variance v saw inputs of variance
        v / |k|^2; a fresh filter on such inputs has |k|^2 times that.
        """
        ratios = []
        for occupant in occupants:
            read = self.donors[occupant.donor].read
            name = _kernel_before(occupant.tensor)
            kernel = read(name)
            axis = 2 if name.endswith("depthwise_kernel") else 3
            channels = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
            norms = np.square(channels, dtype=np.float64).sum(axis=1)
            variance = read(occupant.tensor.name).astype(np.float64)
            ratios.append(variance[norms > 0] / norms[norms > 0])
        ratio = float(np.median(np.concatenate(ratios))) if ratios else 0.0
        if ratio > 0:
            values[:] = HE_SQUARED_NORM * ratio

    def _replicate(self, tensor: TensorSpec, values: np.ndarray) -> None:
        rng = tensor_rng(tensor, self.seed, "shares")
        for number, axis in enumerate(tensor.axes):
            if axis.group is None:
                continue
            sources = self._replica_sources(axis.group)
            if axis.use == "in":
                split_rows(values, number, sources, rng)
            else:
                values[...] = np.take(values, sources, axis=number)

    def _replica_sources(self, group: str) -> np.ndarray:
        """Return for each channel of a target group the channel it copies."""
        if group not in self._sources:
            plan = self.plan
            size = channel_groups(plan.target, plan.classes)[group].size
            sources = np.arange(size)
            owned, saliency = [], []
            for (target, number, donor_group), positions in plan.positions.items():
                if target == group:
                    owned.append(positions)
                    saliency.append(self._saliency(number, donor_group))
            if owned:
                order = np.concatenate(owned)[np.argsort(-np.concatenate(saliency), kind="stable")]
                free = np.setdiff1d(np.arange(size), order)
                sources[free] = np.resize(order, len(free))
            self._sources[group] = sources
        return self._sources[group]

    def _saliency(self, number: int, group: str) -> np.ndarray:
        donor = self.donors[number]
        return weight_saliency(channel_groups(donor.spec, donor.classes)[group], donor.read)

    def as_source(self) -> WeightSource:
        """Return the target's weights, each tensor made when it is read."""
        by_name = tensors_by_name(self.plan.target, self.plan.classes)
        first = self.donors[0]
        return WeightSource(
            name=f"{'+'.join(donor.name for donor in self.donors)}-in-{self.plan.target.variant}",
            spec=self.plan.target,
            conventions=first.conventions,
            classes=self.plan.classes,
            read=lambda name: self.tensor(by_name[name]),
        )

    def all_tensors(self) -> dict[str, np.ndarray]:
        """Return every tensor of the target by canonical name, in network order."""
        return {
            tensor.name: self.tensor(tensor)
            for tensor in inventory(self.plan.target, self.plan.classes)
        }


def _kernel_before(tensor: TensorSpec) -> str:
    """Return the name of the kernel whose output a BatchNorm tensor normalises."""
    layer = conv_of(tensor.layer)
    role = "depthwise_kernel" if is_part(layer, "depthwise_conv") else "kernel"
    return f"{layer}/{role}"
