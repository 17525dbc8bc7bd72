"""Weights that are read one tensor at a time, whether they lie in memory or in a file."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec, Conventions
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.donors import Donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.donors.unet import described_decoder, joined_if_known
from efn_compose.store import WeightFile
from efn_compose.store.weights.parts import refuse_parts


@dataclass(frozen=True)
class WeightSource:
    """One network's weights behind a function from canonical name to array.

    Nothing larger than a tensor needs to be in memory, so networks that do not
    fit can be nested and verified.

    Args:
        name: Short name for tables and messages.
        spec: The network.
        conventions: How the weights want to be run.
        classes: Width of the classifier, None where there is none.
        read: Returns one tensor by canonical name.
        provenance: Where the weights come from; JSON values.
        path: The file behind `read`, None for arrays in memory.

    Example:
        >>> source = WeightSource.of(donor)  # doctest: +SKIP
        >>> source.read("stem_conv/kernel").shape  # doctest: +SKIP
        (3, 3, 3, 32)
    """

    name: str
    spec: ArchSpec
    conventions: Conventions
    classes: int | None
    read: Callable[[str], np.ndarray]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def of(cls, weights: "Donor | WeightFile | WeightSource") -> "WeightSource":
        """Return the source behind a donor or an open weight file; a source is returned as it is.

        Raises:
            FurtherPartError: The weights have a part beside backbone, head and decoder.
        """
        if isinstance(weights, WeightSource):
            return weights
        if isinstance(weights, Donor):
            refuse_group_norm(weights.name, weights.spec, "changing a network's size")
            weights = joined_if_known(weights)
            weights.refuse_parts("changing a network's size")
            return cls(
                weights.name,
                weights.spec,
                weights.conventions,
                weights.classes,
                weights.tensors.__getitem__,
                weights.provenance,
            )
        header = weights.header
        refuse_group_norm(str(weights.path), header.spec, "changing a network's size")
        spec, others = described_decoder(header.spec, header.parts)
        refuse_parts(str(weights.path), others, "changing a network's size")
        return cls(
            weights.path.stem,
            spec,
            header.conventions,
            header.classes,
            weights.read,
            header.provenance,
            weights.path,
        )

    def rounded(self, dtype: str) -> "WeightSource":
        """Return a source whose tensors went through a narrower type, as a file of it holds them."""
        return self.replace(
            read=lambda name: self.read(name).astype(numpy_dtype(dtype)).astype(np.float64)
        )

    def replace(self, **changes: Any) -> "WeightSource":
        """Return a source with some fields replaced."""
        return dataclasses.replace(self, **changes)
