"""A run of trainings: configuration to weights, scores, out-of-fold predictions, leaderboard."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.arch import ArchSpec, DecoderSpec, arch_spec, variant_name
from efn_compose.arch.cost import cost
from efn_compose.config import dump_toml, load_config
from efn_compose.data.folding.fold_table import write_fold_table
from efn_compose.donors import Donor
from efn_compose.donors.unet import DECODER
from efn_compose.errors import ConfigError, EvaluationError
from efn_compose.jobs.executing import answering
from efn_compose.jobs.memory_plan import Demand, Machine, MemoryPlan
from efn_compose.jobs.search.preparation import load_donors
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.jobs.trainings.answers import read_answers
from efn_compose.jobs.trainings.cells import Cell, CellResult
from efn_compose.jobs.trainings.endings import ENDINGS
from efn_compose.jobs.trainings.images import PreparedImages, prepare_images, table_of
from efn_compose.jobs.trainings.leaderboard import (
    Standing,
    leaderboard_json,
    leaderboard_text,
    rank_networks,
)
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.nesting import nest, plan_nesting
from efn_compose.store import RunFolder
from efn_compose.store.weights.parts import refuse_parts

if TYPE_CHECKING:
    from efn_compose.jobs.relay.deadline import Deadline
    from efn_compose.jobs.trainings.watching.progress import TrainingProgress

#: How trainings keep their configuration.
STORED = StoredConfig(
    TrainConfig,
    free=("run", "executor"),
    nullable=("validation.worst_rate", "validation.worst_size_distance"),
)


@dataclass(frozen=True)
class TrainSummary:
    """The result of a finished run of trainings.

    Args:
        folder: The run folder.
        weights: Last weights of the first training of the best network.
        leaderboard: Networks, the best first.
        assessment: Accuracy, AUC, calibration and thresholds of the predictions on images
            not trained on, in words.
        predictions: The file of these predictions.
    """

    folder: Path
    weights: Path
    leaderboard: Sequence[Standing]
    assessment: str
    predictions: Path

    def __str__(self) -> str:
        """Return leaderboard and assessment as lines for people."""
        return f"{leaderboard_text(self.leaderboard)}\n\n{self.assessment}"


@dataclass(frozen=True)
class PreparedTrainings:
    """Everything checked and loaded, before anything is written."""

    config: TrainConfig
    donors: dict[str, Donor]
    images: PreparedImages
    folder: Path

    @property
    def cells(self) -> list[Cell]:
        """All trainings; those of one network follow each other, so that it is traced once."""
        first = self.config.run.seed
        validation = self.config.validation
        return [
            Cell(variant, fold, seed)
            for variant in self.donors
            for fold in range(validation.folds)
            for seed in range(first, first + validation.seeds)
        ]

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each training; a single one has the run's own."""
        cells = self.cells
        if len(cells) == 1:
            return {cells[0].name: self.folder}
        return {cell.name: self.folder / "trainings" / cell.name for cell in cells}

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of all that decides the results."""
        donors = "".join(donor.fingerprint for donor in self.donors.values())
        return {
            "config": STORED.hash(dump_toml(self.config)),
            "seed": str(self.config.run.seed),
            "donors": hashlib.sha256(donors.encode()).hexdigest(),
            "data": self.images.folded.fingerprint,
        }


def train(
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    quiet: bool = False,
) -> TrainSummary:
    """Train networks from one weight file on folds and seeds, and rank them.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        resume: Go on with the run folder's run instead of beginning a new one.
        quiet: Draw no progress.

    Returns:
        Where everything is, and the scores.

    Raises:
        EfnComposeError: Bad input (nothing was written), or a training that cannot go on
            (everything so far is on the disk; resume it).

    Example:
        >>> efn_compose.train(overrides=["weights.file=efn_magic_weights.h5",
        ...                              "data.source=folder:photos"])  # doctest: +SKIP
    """
    prepared = prepare_trainings(config_path, overrides, show_progress=not quiet)
    return run_trainings(prepared, resume=resume, quiet=quiet)


def run_trainings(
    prepared: PreparedTrainings,
    *,
    resume: bool = False,
    quiet: bool = False,
    deadline: "Deadline | None" = None,
) -> TrainSummary:
    """Train as `train` does, from what is prepared.

    Args:
        prepared: Of `prepare_trainings`.
        resume: As for `train`.
        quiet: As for `train`.
        deadline: Told of every epoch of this process, so that it ends the run between two.
    """
    with STORED.opened(prepared.folder, prepared.config, prepared.identity, resume) as folder:
        return _run(prepared, folder, quiet, deadline)


def prepare_trainings(
    config_path: str | os.PathLike[str] | None,
    overrides: Sequence[str] = (),
    *,
    show_progress: bool = True,
) -> PreparedTrainings:
    """Load and check configuration, weights and images; writes nothing.

    Raises:
        EfnComposeError: Anything that would stop the run later.
    """
    config = load_config(config_path, overrides, TrainConfig)
    if not config.weights.file:
        raise ConfigError(
            "weights.file is empty. Name a weight file, such as the efn_magic_weights.h5 that "
            "`efn-compose evolve` writes, any checkpoint, or package:NAME."
        )
    source = load_donors([config.weights.file])[0]
    _check_parts(source, config)
    targets = [variant_name(name) for name in config.weights.variants] or [source.spec.variant]
    for target in dict.fromkeys(targets):
        if target != source.spec.variant:
            # Found out now, not after the first network's trainings.
            plan_nesting([source.spec], arch_spec(target))
    specs = [
        source.spec if target == source.spec.variant else arch_spec(target) for target in targets
    ]
    if not config.executor.address:
        # Before images are decoded; where they go follows from what is free.
        memory_plan(config, specs, 0).check("train.batch_size")
    images = prepare_images(config, show_progress=show_progress)
    _check_recipe(config, source, images)
    donors = {
        target: source
        if target == source.spec.variant
        else nest(source, target, fill=config.weights.fill, seed=config.run.seed)
        for target in dict.fromkeys(targets)
    }
    folder = config.run.folder(config_path, "train")
    return PreparedTrainings(config, donors, images, folder)


def memory_plan(config: TrainConfig, specs: Sequence[ArchSpec], images: int) -> MemoryPlan:
    """Return what a matrix of trainings takes of this machine.

    Args:
        config: Its configuration.
        specs: Its networks.
        images: Number of images.
    """
    validation, size = config.validation, config.data.size
    if config.objective.kind == "segment":
        # A decoder's maps are larger than the encoder's, and the classic one's are the largest.
        is_mirror = config.objective.decoder == "mirror"
        decoder = DecoderSpec("mirror" if is_mirror else "classic")
        specs = [spec.with_decoder(decoder) for spec in specs]
    cells = len(specs) * validation.folds * validation.seeds
    largest = max(specs, key=lambda spec: cost(spec, size).activations)
    demand = Demand.of(largest, config.train.batch_size, size, images, len(specs), config.executor)
    workers = min(demand.workers, cells)
    return MemoryPlan(dataclasses.replace(demand, workers=workers), Machine.here())


def _check_parts(source: Donor, config: TrainConfig) -> None:
    """Refuse further parts that the objective does not train."""
    known = (DECODER,) if config.objective.kind == "segment" else ()
    others = [name for name in source.parts if name not in known]
    refuse_parts(source.name, others, "this training")


def _check_recipe(config: TrainConfig, source: Donor, images: PreparedImages) -> None:
    """Find out now what each training would find out."""
    from efn_compose.jobs.trainings.purpose import check_purpose
    from efn_compose.train.recipe.inputs import check_sizes
    from efn_compose.train.recipe.optimizers.table import make_optimizer

    make_optimizer(config.train, config.train.learning_rate)
    check_sizes(config.train, config.augment, config.data.size)
    check_purpose(config, source, images.folded)


def _run(
    prepared: PreparedTrainings,
    folder: RunFolder,
    quiet: bool,
    deadline: "Deadline | None" = None,
) -> TrainSummary:
    from rich.console import Console

    from efn_compose.jobs.trainings.watching.progress import TrainingProgress

    _write_data(prepared, folder)
    done = {r["training"] for r in folder.journal if r["error"] is None}
    kept = {
        cell.name: read_answers(prepared.folders[cell.name])
        for cell in prepared.cells
        if cell.name in done
    }
    answers = {name: found for name, found in kept.items() if found is not None}
    waiting = [cell for cell in prepared.cells if cell.name not in answers]
    console = Console(quiet=quiet, stderr=True)
    with TrainingProgress(len(waiting), console, deadline) as progress:
        progress.note(str(prepared.images.folds.quality))
        for note in prepared.images.warnings(are_listed=True):
            progress.note(note)
        for cell, result, error in _results(prepared, waiting, progress):
            if result is None:
                record = {"training": cell.name, "variant": cell.variant, "fold": cell.fold}
                folder.journal.append(record | {"seed": cell.seed, "scores": {}, "error": error})
                progress.finish(f"{cell.name} failed: {error}")
                continue
            answers[cell.name] = (result.numbers, result.probability)
            folder.journal.append(result.to_record(cell))
            words = "  ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
            progress.finish(f"{cell.name}  {words}")
    return _end(prepared, folder, answers)


def _write_data(prepared: PreparedTrainings, folder: RunFolder) -> None:
    images = prepared.images
    write_fold_table(images.table, images.folded.fold, prepared.folder / "folds.csv")
    folder.write_text("folds.txt", f"{images.folds.quality}\n")
    if images.unreadable:
        reasons = [(image.image, image.reason) for image in images.unreadable]
        folder.write_text("unreadable.csv", table_of(reasons, ("number_in_source", "reason")))
    if images.duplicates:
        names = [images.table.image_name(n) for n in range(len(images.table))]
        pairs = [(names[pair.first], names[pair.second]) for pair in images.duplicates]
        folder.write_text("duplicates.csv", table_of(pairs, ("first", "second")))


def _results(
    prepared: PreparedTrainings, cells: Sequence[Cell], progress: "TrainingProgress"
) -> Iterator[tuple[Cell, CellResult | None, str | None]]:
    """Yield each training with its result or what went wrong, as they finish."""
    if not cells:
        return
    from efn_compose.jobs.trainings.worker import TrainingSetup

    config = prepared.config
    setup = TrainingSetup(
        donors=prepared.donors,
        folders={name: str(path.resolve()) for name, path in prepared.folders.items()},
        train=config.train,
        augment=config.augment,
        tta=config.tta,
        semi=config.semi,
        objective=config.objective,
        metric="auc" if "auc" in (config.data.metric, config.train.monitor) else "accuracy",
    )
    with answering(
        setup,
        prepared.images.folded,
        config.executor,
        progress.note,
        most=len(cells),
        # All of this process' threads for the one training that runs, which is watched from here.
        alone=dataclasses.replace(setup, threads=0, watch=progress.begin),
    ) as answer:
        for cell, outcome in answer(cells):
            yield cell, outcome.value, outcome.error


def _end(
    prepared: PreparedTrainings,
    folder: RunFolder,
    answers: dict[str, tuple[np.ndarray, np.ndarray]],
) -> TrainSummary:
    config = prepared.config
    metric = config.data.metric if config.data.metric == "auc" else config.train.monitor
    standings = rank_networks(folder.journal, metric)
    if not answers:
        errors = {r["error"] for r in folder.journal if r["error"]}
        raise EvaluationError(
            f"{prepared.folder}: no training ended well. " + "; ".join(sorted(errors))
        )
    ending = ENDINGS[config.objective.kind](prepared, answers, standings)
    best_cell = next(cell for cell in prepared.cells if cell.name in answers)
    for cell in prepared.cells:
        if cell.variant == standings[0].variant and cell.name in answers:
            best_cell = cell
            break
    folder.write_text("leaderboard.md", f"{leaderboard_text(standings)}\n")
    folder.write_text("assessment.txt", f"{ending.words}\n")
    folder.write_json(
        "result.json",
        {"leaderboard": leaderboard_json(standings), "metric": metric, "assessment": ending.values},
    )
    return TrainSummary(
        folder=prepared.folder,
        weights=prepared.folders[best_cell.name] / "last.h5",
        leaderboard=standings,
        assessment=ending.words,
        predictions=ending.predictions,
    )
