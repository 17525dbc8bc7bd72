"""Refit compositions before they are trained: mixed blocks learn to answer like the host's.

Where a block's filters come from several donors, its project convolution still
reads them with coefficients that belonged to another set. One ridge regression per block,
on unlabelled images, finds those that bring the block's output nearest to the host's.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from efn_compose.arch import ArchSpec, Conventions, inventory
from efn_compose.compose.averaging import Tensors
from efn_compose.compose.space import segment_of
from efn_compose.donors import Donor
from efn_compose.statistics.repair import RefitTarget, repair

#: Training images that compositions are refitted on.
REFIT_IMAGES = 200


class CompositionRefit:
    """Refits many compositions of the same donors on the same images.

    Each donor that is a host runs over the images once, when first needed.

    Args:
        spec: The network all donors share.
        conventions: Preprocessing, padding, BatchNorm epsilon, activation.
        donors: Arrays by canonical name, one mapping per donor number.
        images: uint8 (image, height, width, 3), unlabelled.

    Example:
        >>> refit = CompositionRefit(spec, conventions, donors, images)  # doctest: +SKIP
        >>> tensors = refit.apply(recipe.compose(space, donors), recipe.host(space))  # doctest: +SKIP
    """

    def __init__(
        self,
        spec: ArchSpec,
        conventions: Conventions,
        donors: Sequence[Tensors],
        images: np.ndarray,
    ) -> None:
        self.spec, self.conventions, self.donors = spec, conventions, donors
        self._images = images
        self._targets: dict[int, RefitTarget] = {}

    def apply(self, tensors: Tensors, host: int) -> dict[str, np.ndarray]:
        """Return a composition with the project convolutions of its mixed blocks refitted.

        BatchNorm statistics are re-estimated on the way; a composition whose blocks are all the
        host's own comes back as it is.

        Args:
            tensors: Arrays by canonical name; not changed.
            host: Number of the donor whose block outputs are the target.
        """
        mixed = self.mixed_blocks(tensors, host)
        if not mixed:
            return dict(tensors)
        whole = self._target(host)
        target = dataclasses.replace(whole, outputs={b: whole.outputs[b] for b in mixed})
        return repair(self.spec, self.conventions, tensors, self._inputs, refit=target)

    def mixed_blocks(self, tensors: Tensors, host: int) -> list[str]:
        """Return the names of blocks with any tensor that is not the host's, in network order."""
        own, blocks = self.donors[host], {block.name for block in self.spec.blocks}
        foreign = dict.fromkeys(
            segment_of(tensor)
            for tensor in inventory(self.spec)
            if not np.array_equal(tensors[tensor.name], own[tensor.name])
        )
        return [name for name in foreign if name in blocks]

    @cached_property
    def _inputs(self) -> np.ndarray:
        return self._donor(0).preprocess(self._images)

    def _donor(self, number: int) -> Donor:
        return Donor("host", self.spec, self.conventions, dict(self.donors[number]))

    def _target(self, host: int) -> RefitTarget:
        if host not in self._targets:
            blocks = {block.name for block in self.spec.blocks}
            self._targets[host] = RefitTarget.of(self._donor(host), self._inputs, blocks)
        return self._targets[host]
