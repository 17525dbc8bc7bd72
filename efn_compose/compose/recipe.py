"""A recipe: how one set of starting weights is made from donors. Small, hashable, JSON."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from efn_compose.arch import HEAD_LAYER, inventory
from efn_compose.compose.averaging import Tensors, average_tensor
from efn_compose.compose.compose import compose
from efn_compose.compose.space import (
    DonorMap,
    Genome,
    GenomeSpace,
    head_segment,
    segment_of,
    segments,
)
from efn_compose.errors import InvalidGenomeError

#: Genes from which on a genome is stored by its runs.
LONG_GENOME = 500
_MOST_GENES = 10**7


@dataclass(frozen=True)
class Recipe:
    """Either a genome, or a weighted average of all donors, of the whole network or by segment.

    Args:
        kind: "genome", "average", or "segments".
        values: The genes; or one weight per donor, summing to 1; or such weights of each
            segment, one segment after another.

    Example:
        >>> Recipe.average(4).values
        (0.25, 0.25, 0.25, 0.25)
    """

    kind: Literal["genome", "average", "segments"]
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
    def average_of(cls, members: Sequence[int], donor_count: int) -> "Recipe":
        """Return the recipe of the plain average of some donors; one named twice counts twice.

        Args:
            members: Donor numbers, at least one.
            donor_count: Number of all donors.

        Example:
            >>> Recipe.average_of([0, 2], 3).values
            (0.5, 0.0, 0.5)
        """
        return cls(
            "average", tuple(list(members).count(n) / len(members) for n in range(donor_count))
        )

    @classmethod
    def blend(cls, members: Sequence[int], donor_count: int) -> "Recipe":
        """Return `average_of`, under the name that it had in version 0.1.

        Example:
            >>> Recipe.blend([0, 2], 3) == Recipe.average_of([0, 2], 3)
            True
        """
        return cls.average_of(members, donor_count)

    @classmethod
    def by_segment(cls, weights: np.ndarray) -> "Recipe":
        """Return the recipe of an average with weights of its own in every segment.

        Args:
            weights: (segment, donor), each row summing to 1; segments in network order.
        """
        return cls("segments", tuple(float(weight) for weight in np.ravel(weights)))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; a long genome as `runs`, (gene, how often in a row)."""
        if self.kind == "genome" and len(self.values) > LONG_GENOME:
            runs = [[gene, len(list(same))] for gene, same in itertools.groupby(self.values)]
            if 2 * len(runs) < len(self.values):
                return {"kind": self.kind, "runs": runs}
        return {"kind": self.kind, "values": list(self.values)}

    @staticmethod
    def stored_values(stored: Mapping[str, Any]) -> list[Any]:
        """Return the values of a recipe as `to_json` wrote it; genes are not checked.

        Raises:
            ValueError: Runs are no runs, or more genes than any network has units.
            KeyError: There are neither values nor runs.

        Example:
            >>> Recipe.stored_values({"kind": "genome", "runs": [[0, 2], [1, 1]]})
            [0, 0, 1]
        """
        if "values" in stored:
            return list(stored["values"])
        counts = [count for _, count in stored["runs"]]
        if not all(type(count) is int and 0 < count <= _MOST_GENES for count in counts) or (
            sum(counts) > _MOST_GENES
        ):
            raise ValueError("expected runs of genes, each a gene and how often it comes in a row")
        return [gene for gene, count in stored["runs"] for _ in range(count)]

    def donor_map(self, space: GenomeSpace) -> DonorMap | None:
        """Return the donor map of a genome; None for averages."""
        if self.kind != "genome":
            return None
        return space.decode([int(gene) for gene in self.values])

    def donors_used(self, space: GenomeSpace) -> tuple[int, ...]:
        """Return the numbers of all donors that a recipe takes anything from, ascending."""
        donor_map = self.donor_map(space)
        if donor_map is not None:
            return donor_map.donors
        shares = self._shares(space, space.donor_count)
        return tuple(int(number) for number in np.flatnonzero(shares.any(axis=0)))

    def host(self, space: GenomeSpace) -> int:
        """Return the number of the donor that most of the network comes from; the first of equals."""
        donor_map = self.donor_map(space)
        if donor_map is not None:
            return int(np.argmax(np.bincount(list(donor_map.segments.values()))))
        return int(np.argmax(self._shares(space, space.donor_count).sum(axis=0)))

    def is_mixed(self, space: GenomeSpace) -> bool:
        """Return whether weights of more than one donor meet."""
        donor_map = self.donor_map(space)
        return donor_map is None or not donor_map.is_pure

    def compose(self, space: GenomeSpace, donors: Sequence[Tensors]) -> dict[str, np.ndarray]:
        """Return the tensors of the recipe, by canonical name.

        The classifier comes along where its donors have one: from the host of the network's
        last part, or averaged.

        Args:
            space: Genome space over the donors' network.
            donors: Arrays by canonical name, one mapping per donor.

        Raises:
            InvalidGenomeError: The recipe does not fit the space.
        """
        donor_map = self.donor_map(space)
        if donor_map is not None:
            last = donors[donor_map.segments[head_segment(space.spec)]]
            return compose(space.spec, donors, donor_map) | _head(last)
        shares = self._shares(space, len(donors))
        parts = [donor for number, donor in enumerate(donors) if shares[:, number].any()]
        shares = shares[:, shares.any(axis=0)]
        has_head = all(_head(part) for part in parts)
        classes = parts[0][f"{HEAD_LAYER}/kernel"].shape[-1] if has_head else None
        place = {name: number for number, name in enumerate(segments(space.spec))}
        place[HEAD_LAYER] = place[head_segment(space.spec)]
        return {
            tensor.name: average_tensor(
                tensor,
                parts,
                shares[place[HEAD_LAYER if tensor.layer == HEAD_LAYER else segment_of(tensor)]],
            )
            for tensor in inventory(space.spec, classes)
        }

    def _shares(self, space: GenomeSpace, donor_count: int) -> np.ndarray:
        """Return the weights (segment, donor) of an average."""
        rows = len(segments(space.spec))
        expected = donor_count * (rows if self.kind == "segments" else 1)
        if len(self.values) != expected:
            raise InvalidGenomeError(
                f"An average (kind {self.kind!r}) of {donor_count} donors needs {expected} weights. "
                f"Received {len(self.values)}."
            )
        shares = np.reshape(np.asarray(self.values, np.float64), (-1, donor_count))
        return np.broadcast_to(shares, (rows, donor_count))


def _head(donor: Tensors) -> dict[str, np.ndarray]:
    return {name: values for name, values in donor.items() if name.startswith(f"{HEAD_LAYER}/")}
