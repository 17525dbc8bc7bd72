"""A recipe: how one set of starting weights is made from donors. Small, hashable, JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from efn_compose.compose.compose import Tensors, compose
from efn_compose.compose.space import DonorMap, Genome, GenomeSpace
from efn_compose.errors import InvalidGenomeError


@dataclass(frozen=True)
class Recipe:
    """Either a genome, or the weighted average of all donors.

    Args:
        kind: "genome" or "average".
        values: The genes; or one weight per donor, summing to 1.

    Example:
        >>> Recipe.average(4).key
        'average:0.25,0.25,0.25,0.25'
    """

    kind: Literal["genome", "average"]
    values: tuple[int | float, ...]

    @classmethod
    def genome(cls, genome: Genome) -> "Recipe":
        """Return the recipe of a genome."""
        return cls("genome", tuple(int(gene) for gene in genome))

    @classmethod
    def average(cls, donor_count: int) -> "Recipe":
        """Return the recipe of the uniform average of all donors."""
        return cls("average", (1.0 / donor_count,) * donor_count)

    @property
    def key(self) -> str:
        """A short text that tells recipes apart."""
        return f"{self.kind}:{','.join(f'{value:g}' for value in self.values)}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"kind": self.kind, "values": list(self.values)}

    def donor_map(self, space: GenomeSpace) -> DonorMap | None:
        """Return the donor map of a genome; None for an average."""
        return space.decode(self.values) if self.kind == "genome" else None

    def is_mixed(self, space: GenomeSpace) -> bool:
        """Return whether weights of more than one donor meet."""
        donor_map = self.donor_map(space)
        return donor_map is None or not donor_map.is_pure

    def compose(self, space: GenomeSpace, donors: Sequence[Tensors]) -> dict[str, np.ndarray]:
        """Return the backbone tensors of the recipe, by canonical name.

        Args:
            space: Genome space over the donors' network.
            donors: Arrays by canonical name, one mapping per donor.

        Raises:
            InvalidGenomeError: The recipe does not fit the space.
        """
        donor_map = self.donor_map(space)
        if donor_map is not None:
            return compose(space.spec, donors, donor_map)
        if len(self.values) != len(donors):
            raise InvalidGenomeError(
                f"An average needs one weight per donor ({len(donors)}). Received {len(self.values)}."
            )
        return {
            name: sum(
                np.float32(weight) * donor[name]
                for weight, donor in zip(self.values, donors, strict=True)
            ).astype(np.float32)
            for name in donors[0]
            if not name.startswith("predictions/")
        }
