"""The donors a search begins with: aligned, absorbed, given siblings, numbered, weighed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from efn_compose.compose import ShareGenomeSpace, genome_space
from efn_compose.compose.space import Granularity
from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineage_numbers, nearest_to_all
from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.founders.absorption import FOLDER as ABSORBED_FOLDER
from efn_compose.evolve.founders.absorption import absorb_donors
from efn_compose.evolve.founders.alignment import FOLDER as ALIGNED_FOLDER
from efn_compose.evolve.founders.alignment import align_donors, needs_alignment
from efn_compose.evolve.founders.saliency import measure_saliency
from efn_compose.evolve.founders.siblings import FOLDER as SIBLING_FOLDER
from efn_compose.evolve.founders.siblings import make_siblings
from efn_compose.evolve.journal.watcher import RunWatcher
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat


@dataclass(frozen=True)
class Founders:
    """Makes a run's donors and the space of their genomes.

    Everything made is kept in the run folder and not made again.

    Args:
        options: Alignment, absorption and siblings.
        granularity: What one gene moves.
        seed: The run's seed.
        data_fingerprint: Of the data set that the executor's workers hold.
        executor: Does the work.
        folder: The run folder.
        watcher: Told about phases.
    """

    options: DonorOptions
    granularity: Granularity
    seed: int
    data_fingerprint: str
    executor: Executor
    folder: Path
    watcher: RunWatcher

    def prepare(self, donors: Sequence[Donor]) -> tuple[list[Donor], Seat]:
        """Return all donors, siblings last, and their seat.

        Args:
            donors: Harmonised, headless donors of one network.

        Raises:
            EvaluationError: Alignment, absorption, a sibling or a weighing failed.
        """
        options = self.options
        found = list(donors)
        ancestor = self._ancestor(found)
        if options.align == "auto" and needs_alignment(found):
            self.watcher.on_phase("alignment", 0)
            aligned = self.folder / ALIGNED_FOLDER
            found = align_donors(
                found, self.seed, self.data_fingerprint, self.executor, aligned
            )  # fmt: skip
        if options.absorb != "never":
            self.watcher.on_phase("absorption", 0)
            absorbed = self.folder / ABSORBED_FOLDER
            found = absorb_donors(
                found, options.absorb, self.data_fingerprint,
                self.executor, absorbed,
            )  # fmt: skip
        if options.siblings:
            self.watcher.on_phase("siblings", 0)
            kept, seat = self.folder / SIBLING_FOLDER, self._seat(found, ancestor)
            found += make_siblings(found, options.siblings, self.seed, self.executor, seat, kept)
        seat = self._seat(found, ancestor)
        if self.granularity == "unit":
            self.watcher.on_phase("saliency", 0)
            saliency = measure_saliency(
                found, self.seed, self.data_fingerprint,
                self.executor, seat, self.folder,
            )  # fmt: skip
            space = genome_space(
                seat.space.spec, len(found), "unit", saliency, lineages=seat.space.lineages
            )
            seat = Seat(space, seat.donors)
        return found, seat

    def _ancestor(self, donors: Sequence[Donor]) -> int:
        """Return the number of the donor that all descend from, as it is before absorption."""
        if self.granularity not in ShareGenomeSpace.granularities:
            return 0
        if self.options.ancestor:
            return [donor.name for donor in donors].index(self.options.ancestor)
        found = nearest_to_all(donors)
        self.watcher.on_note(
            f"Shares are of differences to {donors[found].name}, which lies nearest to all donors."
        )
        return found

    def _seat(self, donors: Sequence[Donor], ancestor: int) -> Seat:
        """Return the seat of all donors known so far."""
        numbers = lineage_numbers(donors)
        space = genome_space(
            donors[0].spec, len(donors), self.granularity, lineages=numbers, ancestor=ancestor
        )
        return Seat(space, [donor.tensors for donor in donors])
