"""The genome space: which decisions a search makes, and what each of them moves."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from efn_compose.arch import ArchSpec, TensorSpec, channel_groups, inventory
from efn_compose.arch.decoder import decoder_operations
from efn_compose.arch.layer_names import expanded_of
from efn_compose.errors import InvalidGenomeError

Genome = tuple[int, ...]
Granularity = Literal[
    "stage", "block", "unit", "filter", "network_share", "stage_share", "block_share"
]

STEM = "stem"
TOP = "top"
DECODER = "decoder"


def segments(spec: ArchSpec) -> tuple[str, ...]:
    """Return the parts of a network that always come from one host donor: stem, blocks, top.

    A decoder adds its steps and its output.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> segments(arch_spec("lite0"))[:3]
        ('stem', 'stage1_block1', 'stage2_block1')
    """
    top = (TOP,) if spec.top_channels else ()
    return (STEM, *(block.name for block in spec.blocks), *top, *decoder_segments(spec))


def head_segment(spec: ArchSpec) -> str:
    """Return the segment that a classifier belongs to: the last one below it.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> head_segment(arch_spec("lite0"))
        'top'
    """
    return TOP if spec.top_channels else spec.blocks[-1].name


def decoder_segments(spec: ArchSpec) -> tuple[str, ...]:
    """Return the steps of a decoder and its output, in order."""
    layers = [operation.name for operation in decoder_operations(spec)]
    return tuple(dict.fromkeys(_first_words(layer) for layer in layers))


def _first_words(layer: str) -> str:
    return "_".join(layer.split("_", 2)[:2])


def segment_of(tensor: TensorSpec) -> str:
    """Return the segment a tensor belongs to.

    Example:
        >>> from efn_compose.arch import arch_spec, inventory
        >>> segment_of(inventory(arch_spec("b0"))[-1])
        'top'
    """
    for end in (STEM, TOP):
        if tensor.layer.startswith(f"{end}_"):
            return end
    return _first_words(tensor.layer)


@dataclass(frozen=True)
class Locus:
    """One position of the genome: a name and the segments its gene decides."""

    name: str
    segments: tuple[str, ...]


@dataclass(frozen=True)
class Blend:
    """The second donor of a segment that is an average.

    Args:
        donor: Number of the second donor.
        share: Its weight in every tensor of the segment, in (0, 1); the host has the rest.
    """

    donor: int
    share: float


@dataclass(frozen=True)
class Mix:
    """A segment that is an ancestor, moved by shares of its relatives' differences to it.

    Args:
        ancestor: Donor number.
        shares: By donor number of a relative; not 0, beyond 1 or below 0 to extrapolate.
    """

    ancestor: int
    shares: Mapping[int, float]


@dataclass(frozen=True)
class DonorMap:
    """For every part of a network, the donor it comes from.

    Args:
        segments: Host donor number by segment name.
        units: Donor number of each channel by name of an expanded group, for
            blocks whose filters come from several donors; uint8, (channel,).
        blends: By name of a segment that is an average of two donors, the second one.
        mixes: By name of a segment that is made of shares, these shares; its host is the donor
            that weighs most.
    """

    segments: Mapping[str, int]
    units: Mapping[str, np.ndarray] = field(default_factory=dict)
    blends: Mapping[str, Blend] = field(default_factory=dict)
    mixes: Mapping[str, Mix] = field(default_factory=dict)

    @property
    def donors(self) -> tuple[int, ...]:
        """Numbers of all donors used, ascending."""
        used = set(self.segments.values()) | {blend.donor for blend in self.blends.values()}
        for mix in self.mixes.values():
            used.update((mix.ancestor, *mix.shares))
        for units in self.units.values():
            used.update(int(donor) for donor in np.unique(units))
        return tuple(sorted(used))

    @property
    def is_pure(self) -> bool:
        """Whether everything comes from one donor."""
        return len(self.donors) == 1

    def per_filter(self, spec: ArchSpec) -> dict[str, np.ndarray]:
        """Return the donor number of every filter, by layer name.

        Args:
            spec: The network.

        Returns:
            uint8 arrays (output channel,), one per convolution, in network order. A filter
            that is an average names its host; `blends` and `mixes` have the rest of the truth.
        """
        filters = {}
        for tensor in inventory(spec):
            if tensor.role not in ("kernel", "depthwise_kernel"):
                continue
            axis = 2 if tensor.role == "depthwise_kernel" else len(tensor.shape) - 1
            units = self.units.get(tensor.axes[axis].group or "")
            host = self.segments[segment_of(tensor)]
            filters[tensor.layer] = (
                np.full(tensor.shape[axis], host, np.uint8) if units is None else units
            )
        return filters


@dataclass(frozen=True)
class GenomeSpace:
    """All genomes of a search: one donor number per locus.

    Args:
        spec: The network all donors share.
        donor_count: Number of donors.
        granularity: "stage" (stem, one locus per stage, top, and one for a decoder) or "block".
        lineages: Per donor, the number of its lineage; only donors of one lineage may be
            averaged. Empty where unknown: then none may.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> space = GenomeSpace(arch_spec("lite0"), donor_count=3, granularity="stage")
        >>> len(space.loci), space.pure(2)
        (9, (2, 2, 2, 2, 2, 2, 2, 2, 2))
    """

    #: Granularities and number of donors that a space of this class can have.
    granularities: ClassVar[tuple[str, ...]] = ("stage", "block")
    most_donors: ClassVar[int] = 255

    spec: ArchSpec
    donor_count: int
    granularity: Granularity = "block"
    lineages: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if problems := self._problems():
            shown = "; ".join(problems[:10])
            raise InvalidGenomeError(f"No such {self.granularity} genome space: {shown}.")

    def _problems(self) -> list[str]:
        """Return a line for each problem with the fields."""
        problems = []
        if self.granularity not in self.granularities:
            allowed = " or ".join(map(repr, self.granularities))
            problems.append(f"granularity must be {allowed}, received {self.granularity!r}")
        if not 1 <= self.donor_count <= self.most_donors:
            allowed = f"1 to {self.most_donors} donors"
            problems.append(f"{allowed} are allowed, received {self.donor_count}")
        if self.lineages and len(self.lineages) != self.donor_count:
            problems.append(f"{self.donor_count} lineages expected, got {len(self.lineages)}")
        return problems

    def may_average(self, one: int, other: int) -> bool:
        """Return whether two donors are known to be of one lineage."""
        return bool(self.lineages) and self.lineages[one] == self.lineages[other]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides what genomes mean; equal spaces have equal ones."""
        digest = hashlib.sha256()
        for part in self._identity():
            digest.update(part)
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        """Yield all that decides what genomes mean."""
        plain = (self.spec.to_json(), self.donor_count, self.granularity, self.lineages)
        yield f"{type(self).__name__}{json.dumps(plain)}".encode()

    @cached_property
    def loci(self) -> tuple[Locus, ...]:
        """The positions of the genome, in network order."""
        if self.granularity == "block":
            return tuple(Locus(name, (name,)) for name in segments(self.spec))
        stages = [
            Locus(f"stage{stage}", tuple(block.name for block in self.spec.stage_blocks(stage)))
            for stage in range(1, self.spec.stage_count + 1)
        ]
        top = [Locus(TOP, (TOP,))] if self.spec.top_channels else []
        steps = decoder_segments(self.spec)
        decoder = [Locus(DECODER, steps)] if steps else []
        return (Locus(STEM, (STEM,)), *stages, *top, *decoder)

    @cached_property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each gene."""
        return (self.donor_count,) * len(self.loci)

    @cached_property
    def stage_borders(self) -> tuple[int, ...]:
        """Positions where a crossover may cut: before the first locus of each stage, and of the top."""
        stages = [locus.name.split("_")[0] for locus in self.loci]
        return tuple(n for n in range(1, len(stages)) if stages[n] != stages[n - 1])

    @property
    def clusters(self) -> tuple[tuple[int, int], ...]:
        """Ranges (start, stop) of genes that together decide a block."""
        return ()

    @property
    def locus_table(self) -> list[dict[str, Any]]:
        """Name and segments of each gene; JSON values. Equal neighbours may share an entry."""
        return [{"name": locus.name, "segments": list(locus.segments)} for locus in self.loci]

    @property
    def switch_positions(self) -> tuple[int, ...]:
        """Positions where a first genome may switch from one donor to another."""
        return tuple(range(1, len(self.loci)))

    def pure(self, donor: int) -> Genome:
        """Return the genome that takes everything from one donor."""
        return (donor,) * len(self.loci)

    def check(self, genome: Sequence[int]) -> Genome:
        """Return a genome as a tuple of ints.

        Raises:
            InvalidGenomeError: Wrong length, or a gene out of range; all are listed.
        """
        genome = tuple(int(gene) for gene in genome)
        if len(genome) != len(self.loci):
            raise InvalidGenomeError(
                f"A genome of this space has {len(self.loci)} genes ({self.granularity} granularity, "
                f"{self.spec.variant}). Received {len(genome)}."
            )
        wrong = [
            f"{locus.name}={gene} (0 to {count - 1})"
            for locus, gene, count in zip(self.loci, genome, self.cardinalities, strict=True)
            if not 0 <= gene < count
        ]
        if wrong:
            shown = ", ".join(wrong[:10] + ["…"] * (len(wrong) > 10))
            raise InvalidGenomeError(f"Genes out of range: {shown}.")
        return genome

    def canonical(self, genome: Sequence[int]) -> Genome:
        """Return the simplest genome that decodes to the same donor map; here itself."""
        return self.check(genome)

    def decode(self, genome: Sequence[int]) -> DonorMap:
        """Return the explicit donor map of a genome.

        Example:
            >>> from efn_compose.arch import arch_spec
            >>> space = GenomeSpace(arch_spec("lite0"), 2, "stage")
            >>> space.decode(space.pure(1)).is_pure
            True
        """
        genome = self.check(genome)
        return DonorMap(
            {
                segment: gene
                for locus, gene in zip(self.loci, genome, strict=True)
                for segment in locus.segments
            }
        )


def expanded_groups(spec: ArchSpec) -> dict[str, str]:
    """Return for each block that has expanded channels of its own the name of their group.

    Steps of a mirror have such channels, too.
    """
    groups = channel_groups(spec)
    names = {segment: expanded_of(segment) for segment in segments(spec)}
    return {segment: group for segment, group in names.items() if group in groups}
