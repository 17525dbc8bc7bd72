"""A run of trainings: configuration to weights, scores, out-of-fold predictions, leaderboard."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.data.content import CONTENT_FILE, write_content
from efn_compose.data.folding.fold_table import write_fold_table
from efn_compose.errors import EvaluationError
from efn_compose.jobs.executing import answering
from efn_compose.jobs.trainings.answers import read_answers
from efn_compose.jobs.trainings.cells import Cell, CellResult
from efn_compose.jobs.trainings.endings import ENDINGS
from efn_compose.jobs.trainings.images import table_of
from efn_compose.jobs.trainings.leaderboard import (
    Standing,
    leaderboard_json,
    leaderboard_text,
    rank_networks,
)
from efn_compose.jobs.trainings.preparation import STORED, PreparedTrainings, prepare_trainings
from efn_compose.jobs.trainings.unfinished import forget_state
from efn_compose.store import RunFolder

if TYPE_CHECKING:
    from efn_compose.jobs.relay.deadline import Deadline
    from efn_compose.jobs.trainings.watching.progress import TrainingProgress


@dataclass(frozen=True)
class TrainSummary:
    """The result of a finished run of trainings.

    Args:
        folder: The run folder.
        weights: Of the first training of the best network, the epoch that `train.keep` says.
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
    prepared = prepare_trainings(config_path, overrides, show_progress=not quiet, resume=resume)
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
    for name in answers:
        forget_state(prepared.folders[name])
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
            forget_state(prepared.folders[cell.name])
            words = "  ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
            progress.finish(f"{cell.name}  {words}")
    return _end(prepared, folder, answers)


def _write_data(prepared: PreparedTrainings, folder: RunFolder) -> None:
    images = prepared.images
    write_fold_table(images.table, images.folded.fold, prepared.folder / "folds.csv")
    write_content(images.table.images, prepared.folder / CONTENT_FILE)
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
        weights=prepared.folders[best_cell.name] / f"{config.train.keep}.h5",
        leaderboard=standings,
        assessment=ending.words,
        predictions=ending.predictions,
    )
