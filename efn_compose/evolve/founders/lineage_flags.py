"""Notes that a run gives on mixing donors of several lineages."""

from collections.abc import Sequence
from dataclasses import dataclass

from efn_compose.compose import DonorMap, GenomeSpace, Recipe
from efn_compose.donors import Donor
from efn_compose.donors.lineage import share_basis

#: Measured on real weights, see experiments/results/unit_mixing.md.
_MEASURED = "half of one stage's units are enough to destroy it"


@dataclass(frozen=True)
class LineageFlags:
    """Which donors of a run descend from one training, and whether strangers were aligned.

    Args:
        names: Donor names.
        lineages: Per donor, the number of its lineage.
        is_aligned: Whether all lineages are in one channel basis.
        equals: Names of donors that are the same network, with the name of the first of them.
    """

    names: tuple[str, ...]
    lineages: tuple[int, ...]
    is_aligned: bool
    equals: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, donors: Sequence[Donor], lineages: Sequence[int]) -> "LineageFlags":
        """Return the flags of donors whose lineages are known."""
        first: dict[str, str] = {}
        equals = tuple(
            (first[donor.fingerprint], donor.name)
            for donor in donors
            if first.setdefault(donor.fingerprint, donor.name) != donor.name
        )
        names = tuple(donor.name for donor in donors)
        return cls(names, tuple(lineages), share_basis(donors, lineages), equals)

    @property
    def groups(self) -> list[list[str]]:
        """Names of the donors of each lineage."""
        found: dict[int, list[str]] = {}
        for name, number in zip(self.names, self.lineages, strict=True):
            found.setdefault(number, []).append(name)
        return list(found.values())

    def of_search(self, *, with_average: bool = True, with_mixtures: bool = True) -> list[str]:
        """Return what to say of a search that mixes all donors, one sentence each.

        Args:
            with_average: Whether the uniform average of all donors is a contestant.
            with_mixtures: Whether mixtures of lineages matter: not if what was written is none.
        """
        flags = [
            f"{first} and {again} are the same network: to mix these two changes nothing."
            for first, again in self.equals
        ]
        if len(self.groups) < 2:
            return flags
        listed = "; ".join(", ".join(group) for group in self.groups)
        if with_average:
            flags.append(
                f"The donors are of {len(self.groups)} lineages ({listed}). Their uniform average "
                "therefore starts from nothing that any of them knew. It takes part in the finals, but "
                "expect nothing of it."
            )
        if with_mixtures and not self.is_aligned:
            flags.append(
                "Donors of different lineages are mixed without alignment. Such a mixture knows "
                f"nothing before it is trained: {_MEASURED}. --set donors.align=auto aligns the donors; "
                "donors.siblings gives each lineage more of them."
            )
        return flags

    def of_winner(
        self, recipe: Recipe, space: GenomeSpace, start: DonorMap | None = None
    ) -> list[str]:
        """Return the notes on the written weights, one sentence each.

        Args:
            recipe: Of the written weights.
            space: What it numbers.
            start: What their training began as, where they were trained on.
        """
        donor_map = start or recipe.donor_map(space)
        used = recipe.donors_used(space) if donor_map is None else donor_map.donors
        mixed = {self.lineages[number] for number in used if number < len(self.lineages)}
        if len(mixed) < 2:
            return []
        if donor_map is None:
            return [f"The written weights are an average across {len(mixed)} lineages."]
        how = "aligned donors" if self.is_aligned else "donors without alignment"
        verb = "mix" if start is None else "began as a mixture of"
        return [f"The written weights {verb} {how} of {len(mixed)} lineages."]
