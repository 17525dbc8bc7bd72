"""The main job: configuration to magic weights, with everything on the way put together."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.arch import arch_spec, parameter_count, variant_name
from efn_compose.donors.seen_images import SeenImages
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.evolve.journal.run_clock import RunClock
from efn_compose.jobs.search.batch_size import with_batch_size
from efn_compose.jobs.search.finished import finished_result, nested_path
from efn_compose.jobs.search.precision import begun_precision, keep_precision
from efn_compose.jobs.search.preparation import STORED, Prepared, prepare, start_workers
from efn_compose.nesting import nest_to_file
from efn_compose.nesting.progress import byte_progress
from efn_compose.store import RunFolder
from efn_compose.store.run_folder import RESULT_FILE, WEIGHTS_FILE


@dataclass(frozen=True)
class JobSummary:
    """The result of a finished job.

    Args:
        folder: The run folder.
        weights: The magic weight file.
        report: The report page.
        card: The model card.
        verdict: In words.
        winner: Name of the written contestant.
    """

    folder: Path
    weights: Path
    report: Path
    card: Path
    verdict: str
    winner: str

    def __str__(self) -> str:
        """Return the verdict, and where everything is, as lines for people."""
        places = {"weights": self.weights, "report": self.report, "card": self.card}
        return "\n".join([self.verdict, *(f"  {what:<8} {path}" for what, path in places.items())])


def evolve(
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    quiet: bool = False,
) -> JobSummary:
    """Search for better starting weights and write them with report and card.

    Args:
        config_path: A TOML file. None: the defaults where the overrides name donors, otherwise
            the quickstart experiment.
        overrides: "section.key=value" each, as with `--set`.
        resume: Go on with the run folder's run instead of beginning a new one.
        quiet: Draw no progress.

    Returns:
        Where everything is, and the verdict.

    Raises:
        EfnComposeError: Bad input (nothing was written), or a run that cannot go
            on (everything so far is in the journal; resume it).

    Example:
        >>> evolve("experiments/quickstart.toml", ["halving.generations=2"])  # doctest: +SKIP
    """
    clock = RunClock()
    prepared, note = with_batch_size(prepare(config_path, overrides, resume=resume))
    with STORED.opened(prepared.folder, prepared.config, prepared.identity, resume) as folder:
        ended = finished_result(folder.path, prepared.config.output.nest_into) if resume else None
        if ended is not None:
            return _summary(folder.path, ended)
        return _run(prepared, folder, quiet, clock, note)


def _run(
    prepared: Prepared, folder: RunFolder, quiet: bool, clock: RunClock, note: str
) -> JobSummary:
    from rich.console import Console

    from efn_compose.analysis.page.live_report import LiveReport
    from efn_compose.evolve.ending import (
        describe_data,
        describe_donors,
        describe_result,
        write_magic_weights,
    )
    from efn_compose.evolve.journal.budget import Budget
    from efn_compose.evolve.run import EvolutionRun
    from efn_compose.evolve.verdict.predictions import describe_predictions
    from efn_compose.evolve.watching.board import open_board
    from efn_compose.evolve.watching.progress import ConsoleWatcher

    config = prepared.config
    folder.write_text("split.json", prepared.data.split.to_json())
    folder.write_json("data.json", describe_data(prepared.data))
    donor_count = len(prepared.donors) * (1 + config.donors.siblings)
    left = Budget(config.budget, clock, 1)
    console = Console(quiet=quiet, stderr=True)
    for words in prepared.data.notes:
        console.print(words)
    if prepared.data.left_out:
        console.print(
            f"{len(prepared.data.left_out)} images cannot be decoded and are left out; "
            f"{folder.path / 'data.json'} lists them."
        )
    compute = begun_precision(folder, config.device)
    executor = start_workers(prepared, compute=compute)
    plan = config.kind.plan(config.finals, donor_count, executor.workers, config.budget)
    planned = None if left.is_open else plan.evaluations
    board = open_board(folder.path)
    try:
        keep_precision(folder, compute, executor.device)
        with ConsoleWatcher(planned, executor.workers, console, left) as watcher:
            executor.note = watcher.on_note
            notes = [note]
            if not len(folder.journal):  # a run that goes on keeps its search as it is
                notes.append(f"{plan.note}." if plan.note else "")
            for words in filter(None, notes):
                watcher.on_note(words)
            watcher.after_generation = LiveReport(folder.path).draw
            if board is not None:
                watcher.after_evaluation = board.take
            run = EvolutionRun(
                donors=prepared.donors,
                options=config.donors,
                data_fingerprint=prepared.data.fingerprint,
                kind=config.kind,
                granularity=config.search.part,
                finals=config.finals,
                fitness=config.fitness,
                seed=config.run.seed,
                executor=executor,
                budget=config.budget,
                clock=clock,
                journal=folder.journal,
                folder=folder.path,
                watcher=watcher,
                on_donors=lambda donors, space: folder.write_json(
                    "donors.json", describe_donors(donors, space)
                ),
            )
            result = run.run()
            # Said at the start, too; report, card and weights have it from here.
            result = dataclasses.replace(result, flags=(*result.flags, *prepared.doubts))
            watcher.print_time()
    finally:
        executor.close()
        if board is not None:
            board.close()
    weights = folder.path / WEIGHTS_FILE
    trained_for = TrainedFor(prepared.data.size, tuple(prepared.data.class_names))
    seen = [SeenImages.of(prepared.data.choosing)]
    digest = write_magic_weights(weights, result, trained_for, seen)
    if result.predictions is not None:
        described = describe_predictions(result.predictions, prepared.data)
        folder.write_json("predictions.json", described)
    if config.output.nest_into:
        larger = variant_name(config.output.nest_into)
        out = nested_path(weights, larger)
        # Float32; the classifier, which the table does not know, is small.
        size = 4 * parameter_count(arch_spec(larger))
        with byte_progress(out.name, size, quiet=quiet) as progress:
            nest_to_file(weights, larger, out, progress=progress)
    # Last: a folder that holds a result has ended.
    described = describe_result(result, weights.name, digest)
    folder.write_json(RESULT_FILE, described)
    return _summary(folder.path, described)


def _summary(folder: Path, result: Mapping[str, Any]) -> JobSummary:
    """Draw report and card of a run that has ended, and return where everything is."""
    from efn_compose.analysis import write_card, write_report

    return JobSummary(
        folder=folder,
        weights=folder / str(result["weights"]),
        report=write_report(folder),
        card=write_card(folder),
        verdict=str(result["verdict"]),
        winner=str(result["winner"]),
    )
