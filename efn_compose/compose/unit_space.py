"""The compact genome over units: a few genes per block that decode to a donor for every filter.

One gene per filter cannot be searched: ten thousand genes against some hundred
noisy evaluations is random search. Here a block has four genes: its donor, a
second donor, the share taken from it, and the rule by which it is taken: some
units, or a little of every weight.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from efn_compose.arch import channel_groups
from efn_compose.compose.space import (
    DECODER,
    STEM,
    TOP,
    Blend,
    DonorMap,
    Genome,
    GenomeSpace,
    Granularity,
    Locus,
    decoder_segments,
    expanded_groups,
)
from efn_compose.compose.units import take_units

#: Shares of units that a block may take from its second donor; roles are symmetric beyond half.
FRACTIONS = (0.0, 0.125, 0.25, 0.5)

#: Rules by which a share is taken: the units where the second donor contributes more, ...
BY_CONTRIBUTION = 0
#: ... random ones, by the seeds that these rules stand for, ...
RANDOM_RULES = {1: 0, 2: 1}
#: ... or no units: the whole block is the weighted mean of both donors.
BLEND = 3


@dataclass(frozen=True)
class UnitGenomeSpace(GenomeSpace):
    """All genomes that mix donors by stage, block and unit.

    Genes in network order: "stem"; per stage its host, then per block its donor
    (0 the stage's host, n donor n-1) and, where the block has expanded channels of
    its own, second donor, fraction (index of `FRACTIONS`) and rule
    (`BY_CONTRIBUTION` the units where the second donor contributes more,
    `RANDOM_RULES` random ones, `BLEND` none: the block is the average of both, the
    second donor weighted by the fraction); "top". Only donors of one lineage are ever
    averaged: any other blend means what `BY_CONTRIBUTION` means, and the rule has no
    such value where no two donors share a lineage.

    Args:
        spec: The network all donors share.
        donor_count: Number of donors.
        granularity: Always "unit".
        lineages: Per donor, the number of its lineage; empty where unknown.
        saliency: Per donor, (unit,) contributions by expanded group, of donors in one
            channel order; see `compose.units.contributions`.

    Raises:
        InvalidGenomeError: Saliencies do not fit donors or network; all are listed.

    Example:
        >>> space = UnitGenomeSpace(spec, 2, saliency=(saliency_a, saliency_b))  # doctest: +SKIP
        >>> len(space.loci)  # doctest: +SKIP
        68
    """

    granularities: ClassVar[tuple[str, ...]] = ("unit",)
    most_donors: ClassVar[int] = 254

    granularity: Granularity = "unit"
    saliency: Sequence[Mapping[str, np.ndarray]] = field(default=(), compare=False, repr=False)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if len(self.saliency) != self.donor_count:
            problems.append(f"{self.donor_count} saliencies expected, got {len(self.saliency)}")
        groups = channel_groups(self.spec)
        for number, found in enumerate(self.saliency):
            for name in self._expanded.values():
                shape = np.shape(found[name]) if name in found else None
                if shape != (groups[name].size,):
                    problems.append(
                        f"saliency of donor {number}, {name}: expected ({groups[name].size},), "
                        f"received {shape}"
                    )
        return problems

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        for found in self.saliency:
            for name in sorted(found):
                values = np.ascontiguousarray(found[name])
                yield f"{name} {values.dtype.str} {values.shape};".encode()
                yield values.tobytes()

    @cached_property
    def _expanded(self) -> dict[str, str]:
        """Groups of expanded channels by block; a decoder moves whole and has none here."""
        return expanded_groups(self.spec.with_decoder(None))

    @cached_property
    def loci(self) -> tuple[Locus, ...]:
        """The positions of the genome, in network order."""
        found = [Locus(STEM, (STEM,))]
        for stage in range(1, self.spec.stage_count + 1):
            names = tuple(block.name for block in self.spec.stage_blocks(stage))
            found.append(Locus(f"stage{stage}_host", names))
            for name in names:
                parts = (
                    ["donor", "second", "fraction", "rule"] if name in self._expanded else ["donor"]
                )
                # The only block of a stage needs no donor of its own beside the host.
                parts = parts[1:] if len(names) == 1 else parts
                found += [Locus(f"{name}_{part}", (name,)) for part in parts]
        if self.spec.top_channels:
            found.append(Locus(TOP, (TOP,)))
        if steps := decoder_segments(self.spec):
            found.append(Locus(DECODER, steps))  # whole: no images say what its units contribute
        return tuple(found)

    @cached_property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each gene."""
        has_blends = len(set(self.lineages)) < len(self.lineages)
        sizes = {
            "donor": self.donor_count + 1,
            "fraction": len(FRACTIONS) if self.donor_count > 1 else 1,
            "rule": BLEND + has_blends if self.donor_count > 1 else 1,
        }
        return tuple(
            sizes.get(locus.name.rpartition("_")[2], self.donor_count) for locus in self.loci
        )

    @cached_property
    def clusters(self) -> tuple[tuple[int, int], ...]:
        """Ranges (start, stop) of each block's second donor, fraction and rule."""
        return tuple(
            (place - 2, place + 1)
            for place, locus in enumerate(self.loci)
            if locus.name.endswith("_rule")
        )

    @property
    def switch_positions(self) -> tuple[int, ...]:
        """Positions where a first genome may switch donors: where hosts change."""
        return self.stage_borders

    def pure(self, donor: int) -> Genome:
        """Return the genome that takes everything from one donor.

        Any slice of it between stage borders makes that stage pure in any genome.
        """
        hosts = {STEM, TOP, DECODER}
        return tuple(
            donor if locus.name in hosts or locus.name.endswith("_host") else 0
            for locus in self.loci
        )

    def canonical(self, genome: Sequence[int]) -> Genome:
        """Return the simplest genome that decodes to the same donor map.

        Genes that cannot matter become 0: the rule and second donor of a block that
        takes nothing from it. A blend across lineages becomes a choice of units.
        Evaluate canonical genomes, and none is paid for twice.
        """
        genes = self._named(self.check(genome))
        for stage in range(1, self.spec.stage_count + 1):
            host = genes[f"stage{stage}_host"]
            for block in self.spec.stage_blocks(stage):
                donor = genes.get(f"{block.name}_donor", 0)
                if donor == host + 1:
                    genes[f"{block.name}_donor"] = donor = 0
                keeper = donor - 1 if donor else host
                keys = [f"{block.name}_{part}" for part in ("fraction", "second", "rule")]
                if keys[0] in genes and (genes[keys[0]] == 0 or genes[keys[1]] == keeper):
                    genes.update(dict.fromkeys(keys, 0))
                elif genes.get(keys[2]) == BLEND and not self.may_average(keeper, genes[keys[1]]):
                    genes[keys[2]] = BY_CONTRIBUTION
        return tuple(genes[locus.name] for locus in self.loci)

    def decode(self, genome: Sequence[int]) -> DonorMap:
        """Return the explicit donor map of a genome: a donor for every filter."""
        genes = self._named(self.canonical(genome))
        hosts = {STEM: genes[STEM]}
        units, blends = {}, {}
        for block in self.spec.blocks:
            name = block.name
            donor = genes.get(f"{name}_donor", 0)
            host = donor - 1 if donor else genes[f"stage{block.stage}_host"]
            hosts[name] = host
            if name not in self._expanded:
                continue
            fraction, second = FRACTIONS[genes[f"{name}_fraction"]], genes[f"{name}_second"]
            if not fraction:
                continue
            if genes[f"{name}_rule"] == BLEND:
                blends[name] = Blend(second, fraction)
            else:
                units[self._expanded[name]] = self._units(name, host, second, fraction, genes)
        if TOP in genes:
            hosts[TOP] = genes[TOP]
        hosts |= dict.fromkeys(decoder_segments(self.spec), genes.get(DECODER, 0))
        return DonorMap(hosts, units, blends)

    def _named(self, genome: Genome) -> dict[str, int]:
        return {locus.name: gene for locus, gene in zip(self.loci, genome, strict=True)}

    def _units(
        self, block: str, host: int, second: int, fraction: float, genes: Mapping[str, int]
    ) -> np.ndarray:
        group, rule = self._expanded[block], genes[f"{block}_rule"]
        if rule == BY_CONTRIBUTION:
            return take_units(
                host, second, fraction,
                host_saliency=self.saliency[host][group],
                second_saliency=self.saliency[second][group],
            )  # fmt: skip
        size = len(self.saliency[host][group])
        # Not Python's hash, which differs between processes.
        seed = RANDOM_RULES[rule] * 1000 + [b.name for b in self.spec.blocks].index(block)
        return take_units(host, second, fraction, rule="random", size=size, seed=seed)
