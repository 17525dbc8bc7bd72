"""The configuration of a search: the sections that the packages own, put together."""

from dataclasses import dataclass
from typing import ClassVar

from efn_compose.data.options import DataOptions
from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.kinds.kind import SearchKind
from efn_compose.evolve.kinds.table import KindSections, SearchOptions
from efn_compose.evolve.old_settings import OLD_SETTINGS
from efn_compose.evolve.options import (
    BudgetOptions,
    ExecutorOptions,
    FinalsOptions,
    FitnessAugmentOptions,
    FitnessOptions,
    OutputOptions,
)
from efn_compose.settings.declare import section
from efn_compose.settings.renamed import Row
from efn_compose.store.options import RunOptions
from efn_compose.train.engine.options import DeviceOptions


@dataclass(frozen=True)
class _Material:
    """The first sections of a run: folder, data and donors."""

    run: RunOptions = section(RunOptions)
    data: DataOptions = section(DataOptions)
    donors: DonorOptions = section(DonorOptions)
    search: SearchOptions = section(SearchOptions)


@dataclass(frozen=True)
class _Conduct:
    """The last sections of a run: how it goes about it."""

    finals: FinalsOptions = section(FinalsOptions)
    fitness: FitnessOptions = section(FitnessOptions)
    device: DeviceOptions = section(DeviceOptions)
    augment: FitnessAugmentOptions = section(FitnessAugmentOptions)
    budget: BudgetOptions = section(BudgetOptions)
    executor: ExecutorOptions = section(ExecutorOptions)
    output: OutputOptions = section(OutputOptions)


@dataclass(frozen=True)
class RunConfig(_Conduct, KindSections, _Material):
    """Everything a run is told; the fields are the sections of its TOML file.

    A dataclass' fields begin with those of its last base: `[search]` is followed by the section of
    the kind that it chooses. Relative paths (`run.path`, `donors.files`, the path in `data.source`)
    start at the working directory, in the file as on the command line.
    """

    renamed: ClassVar[tuple[Row, ...]] = OLD_SETTINGS

    @property
    def kind(self) -> SearchKind:
        """The search that is chosen, with its settings."""
        chosen: SearchKind = getattr(self, self.search.kind)
        return chosen
