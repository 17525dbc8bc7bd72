"""Everything checked and loaded before a run writes its first byte: configuration, donors, data."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from efn_compose.arch import arch_spec
from efn_compose.compose import ShareGenomeSpace
from efn_compose.config import RunConfig, dump_toml, load_config
from efn_compose.data import DataSet, load_data
from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineages, share_basis
from efn_compose.donors.seen_images import seen_notes
from efn_compose.errors import (
    ConfigError,
    IncompatibleDonorsError,
    RunError,
    describe_problems,
)
from efn_compose.evolve.verdict.verdict import is_reserved
from efn_compose.jobs.donor_entries import load_donors
from efn_compose.jobs.memory_plan import Demand, Machine, MemoryPlan
from efn_compose.jobs.search.evaluation_length import with_epochs
from efn_compose.jobs.search.network_count import require_numbers
from efn_compose.jobs.search.quickstart import QUICKSTART, fitted_to_images, or_quickstart
from efn_compose.jobs.search.relatives import require_relatives, with_granularity
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.nesting import plan_nesting
from efn_compose.store.run_folder import CONFIG_FILE
from efn_compose.train.engine.options import DeviceOptions

if TYPE_CHECKING:
    from efn_compose.evolve.workers.executor import Executor

#: How searches keep their configuration.
STORED = StoredConfig(RunConfig, free=("run", "executor", "budget"))


@dataclass(frozen=True)
class Prepared:
    """Everything checked and loaded, before anything is written.

    Args:
        config: All settings.
        donors: Alike in their conventions, without classifiers.
        data: The images.
        folder: The run folder.
        doubts: Of `seen_notes`, on the donors and the images that judge them.
    """

    config: RunConfig
    donors: list[Donor]
    data: DataSet
    folder: Path
    doubts: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of all that decides the results."""
        donors = "".join(donor.fingerprint for donor in self.donors)
        return {
            "config": STORED.hash(dump_toml(self.config)),
            "seed": str(self.config.run.seed),
            "donors": hashlib.sha256(donors.encode()).hexdigest(),
            "data": self.data.fingerprint,
        }


def prepare(
    config_path: str | os.PathLike[str] | None,
    overrides: Sequence[str] = (),
    *,
    resume: bool | None = None,
) -> Prepared:
    """Load and check configuration, donors and data; writes nothing.

    Args:
        config_path: A TOML file. None: the defaults where the overrides name donors, otherwise
            the quickstart experiment.
        overrides: "section.key=value" each.
        resume: Whether the run folder has a run to go on with, whose choices stand where the configuration
            leaves them open, or else none; None does not look.

    Raises:
        EfnComposeError: Anything that would stop the run later.
    """
    config_path = or_quickstart(config_path, overrides)
    config: RunConfig = load_config(config_path, overrides)
    folder = config.run.folder(config_path, "evolve")
    STORED.check_place(folder, config, resume)
    if resume:
        config = _as_begun(config, folder)
    notes: tuple[str, ...] = ()
    table = None
    if config_path is not None and Path(config_path).resolve() == QUICKSTART.resolve():
        config, notes, table = fitted_to_images(config)
    donors = load_donors(config.donors.files, config.donors.variant, is_reserved)
    for donor in donors:
        donor.refuse_parts("a search")
    check_settings(config)
    _require_difference(config, donors)
    config, relatives_note = with_granularity(config, donors)
    if config.search.granularity == "filter" and config.donors.align == "never":
        _require_one_basis(donors)
    if config.search.granularity in ShareGenomeSpace.granularities:
        require_relatives(config, donors)
    if config.output.nest_into:
        # Found out now, not after a night of search.
        plan_nesting([donors[0].spec], arch_spec(config.output.nest_into))
    if not config.executor.address:
        # Before images are decoded; where they go follows from what is free.
        memory_plan(config, donors, 0).check("fitness.batch_size")
    data = load_data(config.data, config.run.seed, table=table, holding=config.executor.holding)
    config, length_note = with_epochs(config, len(data.train_labels))
    doubts = seen_notes(donors, data.judging)
    notes = (*notes, relatives_note, length_note, *doubts)
    data = dataclasses.replace(data, notes=(*data.notes, *filter(None, notes)))
    return Prepared(config, donors, data, folder, doubts)


def _require_difference(config: RunConfig, donors: Sequence[Donor]) -> None:
    """Refuse to compose donors that are all the same network."""
    can_differ = config.donors.siblings or config.kind.trains_on
    if not can_differ and len({donor.fingerprint for donor in donors}) == 1:
        names = ", ".join(donor.name for donor in donors)
        raise ConfigError(
            f"donors.files: {names} are the same network, so there is nothing to compose. Add another "
            "donor of this network, --set donors.siblings=2, or let it train on with "
            "--set search.kind=halving."
        )


def _as_begun(config: RunConfig, folder: Path) -> RunConfig:
    """Return a configuration that leaves open nothing that the run in a folder has decided."""
    try:
        begun = STORED.read((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RunError):
        return config  # whoever opens the folder says what is wrong with it
    search, fitness = config.search, config.fitness
    if search.granularity == "auto":
        search = dataclasses.replace(search, granularity=begun.search.granularity)
    if fitness.epochs == "auto":
        fitness = dataclasses.replace(fitness, epochs=begun.fitness.epochs)
    if not fitness.batch_size:
        fitness = dataclasses.replace(fitness, batch_size=begun.fitness.batch_size)
    return dataclasses.replace(config, search=search, fitness=fitness)


def check_settings(config: RunConfig) -> None:
    """Refuse settings of a search that no donors and no images could suit.

    Args:
        config: With donors named, which need not be there yet.

    Raises:
        ConfigError: The settings exclude each other.
    """
    granularity = config.search.granularity
    count = len(config.donors.files) * (1 + config.donors.siblings)
    if count < 2 and not config.kind.trains_on:
        raise ConfigError(
            "donors.files names one donor and donors.siblings is 0: there is nothing to compose. "
            "Add a donor of the same network, --set donors.siblings=2, or let it train on with "
            "--set search.kind=halving."
        )
    if granularity in ShareGenomeSpace.granularities:
        if config.kind.trains_on:
            raise ConfigError(
                f"search.kind = {config.search.kind!r} makes donors of trained candidates, which have "
                f"no ancestor among the donors. Received search.granularity = {granularity!r}; choose "
                "a search over compositions, such as --set search.kind=genetic, or another granularity."
            )
    elif config.kind.share_setting and granularity != "auto":
        raise ConfigError(
            f"{config.kind.share_setting} moves shares. Received search.granularity = "
            f"{granularity!r}; set it to one of {', '.join(ShareGenomeSpace.granularities)}."
        )
    require_numbers(config)
    limit = config.budget.evaluations
    least = config.kind.least_evaluations(config.finals, count)
    if 0 < limit < least:
        raise ConfigError(
            f"budget.evaluations = {limit} is too few: the noise, one generation, the finals and the test "
            f"make up to {least}. Allow {least} or more, 0 for no limit, or make them smaller: "
            f"{config.kind.name}.population, finals.noise_repeats, finals.finalists, finals.final_seeds."
        )
    if config.augment.grid and config.data.size % config.augment.grid_cells:
        raise ConfigError(
            f"augment.grid_cells = {config.augment.grid_cells} must divide data.size. Received: "
            f"{config.data.size}."
        )


def memory_plan(config: RunConfig, donors: Sequence[Donor], images: int) -> MemoryPlan:
    """Return what a search takes of this machine.

    Args:
        config: Its configuration.
        donors: Its donors.
        images: Number of images of all parts.
    """
    demand = Demand.of(
        donors[0].spec,
        config.fitness.batch_size,
        config.data.size,
        images,
        len(donors) * (1 + config.donors.siblings),
        config.executor,
    )
    return MemoryPlan(demand, Machine.here())


def _require_one_basis(donors: Sequence[Donor]) -> None:
    if share_basis(donors):
        return
    raise IncompatibleDonorsError(
        describe_problems(
            "A search with a gene per filter (search.granularity = 'filter') needs donors whose "
            "channels correspond. These are of several lineages and not aligned:",
            [
                "- " + ", ".join(repr(donors[number].name) for number in group)
                for group in lineages(donors)
            ],
            "Set donors.align = 'auto', give donors of one lineage, or search another granularity.",
        )
    )


def start_workers(
    prepared: Prepared,
    note: Callable[[str], None] | None = None,
    compute: DeviceOptions | None = None,
) -> "Executor":
    """Return the executor that the configuration asks for, its workers on their way.

    Args:
        prepared: Configuration, donors and data.
        note: Called with messages for people; a warning by default.
        compute: How networks compute; as the configuration says by default.
    """
    from efn_compose.evolve.workers.evaluator import WorkerSetup
    from efn_compose.evolve.workers.executor import make_executor

    config = prepared.config
    setup = WorkerSetup(
        spec=prepared.donors[0].spec,
        conventions=prepared.donors[0].conventions,
        fitness=config.fitness,
        augment=config.augment,
        metric=config.data.metric,
        compute=compute or config.device,
        statistics_images=config.data.statistics_images,
        final_rate=config.finals.final_rate,
    )
    return make_executor(setup, prepared.data, prepared.config.executor, note)
