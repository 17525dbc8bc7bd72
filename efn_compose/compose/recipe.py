"""A recipe: how one set of starting weights is made from donors. Small, hashable, JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from efn_compose.arch import HEAD_LAYER
from efn_compose.compose.compose import Tensors, compose
from efn_compose.compose.space import DonorMap, Genome, GenomeSpace, segments
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

    @classmethod
    def blend(cls, members: Sequence[int], donor_count: int) -> "Recipe":
        """Return the recipe of the plain average of some donors; one named twice counts twice.

        Args:
            members: Donor numbers, at least one.
            donor_count: Number of all donors.

        Example:
            >>> Recipe.blend([0, 2], 3).values
            (0.5, 0.0, 0.5)
        """
        return cls(
            "average", tuple(list(members).count(n) / len(members) for n in range(donor_count))
        )

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
        """Return the tensors of the recipe, by canonical name.

        The classifier comes along where its donors have one: from the donor of the network's
        last part, or averaged.

        Args:
            space: Genome space over the donors' network.
            donors: Arrays by canonical name, one mapping per donor.

        Raises:
            InvalidGenomeError: The recipe does not fit the space.
        """
        donor_map = self.donor_map(space)
        if donor_map is not None:
            last = donors[donor_map.segments[segments(space.spec)[-1]]]
            return compose(space.spec, donors, donor_map) | _head(last)
        if len(self.values) != len(donors):
            raise InvalidGenomeError(
                f"An average needs one weight per donor ({len(donors)}). Received {len(self.values)}."
            )
        parts = [(w, d) for w, d in zip(self.values, donors, strict=True) if w]
        has_head = all(_head(donor) for _, donor in parts)
        return {
            name: sum(np.float32(weight) * donor[name] for weight, donor in parts).astype(
                np.float32
            )
            for name in parts[0][1]
            if has_head or not name.startswith(f"{HEAD_LAYER}/")
        }


def _head(donor: Tensors) -> dict[str, np.ndarray]:
    return {name: values for name, values in donor.items() if name.startswith(f"{HEAD_LAYER}/")}
