"""A study: configuration to a table and a page, by way of a journal."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from efn_compose.analysis.page.study_report import write_study_report
from efn_compose.analysis.reading.study.folder import read_design, read_study
from efn_compose.analysis.reading.study.tables import table_csv, times_csv
from efn_compose.analysis.reading.study.view import StudyView
from efn_compose.analysis.reading.study.words import to_json, verdict
from efn_compose.errors import EvaluationError, ResumeMismatchError, describe_problems
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.jobs.executing import answering
from efn_compose.jobs.study.cells import FreeScores, StudyCell
from efn_compose.jobs.study.pacing.paces import CLOCKS, StudyPace, paces_json, read_paces, rounded
from efn_compose.jobs.study.pacing.probe import PaceProbe
from efn_compose.jobs.study.preparation import STORED, PreparedStudy, prepare_study
from efn_compose.jobs.trainings.unfinished import STATES_FOLDER, forget_states
from efn_compose.store import RunFolder
from efn_compose.store.study_files import PACES_FILE, STUDY_FILE, TABLE_FILE, TIMES_FILE

AnyTask = TypeVar("AnyTask", bound=Task)

if TYPE_CHECKING:
    from efn_compose.jobs.trainings.watching.progress import TrainingProgress


@dataclass(frozen=True)
class StudySummary:
    """The result of a study.

    Args:
        folder: The run folder.
        table: The file with a row per training.
        report: The page.
        verdict: Who leads over all data sets, or how many combinations are tied, in words.
        view: Everything else.
    """

    folder: Path
    table: Path
    report: Path
    verdict: str
    view: StudyView

    def __str__(self) -> str:
        """Return the verdict."""
        return self.verdict


def study(
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    quiet: bool = False,
) -> StudySummary:
    """Train a grid of networks, resolutions, recipes and data sets, and say what is told apart.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        resume: Go on with the run folder's study; what failed is tried once more.
        quiet: Draw no progress.

    Returns:
        Where everything is, and the verdict.

    Raises:
        EfnComposeError: Bad input (nothing was written), or no training ended well.

    Example:
        >>> efn_compose.study(overrides=["study.kind=scaling", "study.weights=lite0.h5",
        ...                              "data.source=folder:photos"])  # doctest: +SKIP
    """
    prepared = prepare_study(config_path, overrides, show_progress=not quiet, resume=resume)
    with STORED.opened(prepared.folder, prepared.config, prepared.identity, resume) as folder:
        design = prepared.describe()
        begun = (prepared.folder / STUDY_FILE).exists()
        if begun:
            _refuse_other_points(prepared.folder, design)
        else:
            folder.write_json(STUDY_FILE, design)
        if not prepared.has_epochs:
            prepared = _with_paces(prepared, folder, quiet)
            design = prepared.describe()
            if begun and _has_trained(folder):
                _refuse_other_epochs(prepared.folder, design)
        folder.write_json(STUDY_FILE, design)
        _run(prepared, folder, quiet)
        view = read_study(prepared.folder)
        if not view.has_scores:
            reasons = sorted({row.error for row in view.rows if row.error})
            raise EvaluationError(
                f"{prepared.folder}: no training ended well. " + "; ".join(reasons)
            )
        folder.write_text(TABLE_FILE, table_csv(view))
        folder.write_text(TIMES_FILE, times_csv(view))
        report = write_study_report(prepared.folder)
        folder.write_json("result.json", to_json(view))
    return StudySummary(
        folder=prepared.folder,
        table=prepared.folder / TABLE_FILE,
        report=report,
        verdict=verdict(view),
        view=view,
    )


def _refuse_other_points(folder: Path, design: Mapping[str, Any]) -> None:
    """Refuse a folder whose journal counts other combinations, as an earlier version chose them."""
    stored = read_design(folder)["points"]
    if [point["levels"] for point in stored] != [point["levels"] for point in design["points"]]:
        raise ResumeMismatchError(
            f"{folder}: an earlier version chose {len(stored)} other combinations for this "
            "configuration. Begin it in a new run folder; efn-compose report draws the old one."
        )


def _has_trained(folder: RunFolder) -> bool:
    """Return whether a training has ended well."""
    return any(record["error"] is None for record in folder.journal)


def _with_paces(prepared: PreparedStudy, folder: RunFolder, quiet: bool) -> PreparedStudy:
    """Return the study with the epochs that its paces give; measured once, kept in the folder.

    Where a pace failed, other networks have been given other epochs. They keep these once a training ended.
    """
    from rich.console import Console

    from efn_compose.jobs.trainings.watching.progress import TrainingProgress

    groups = prepared.groups
    measured = read_paces(prepared.folder, groups)
    if not _has_trained(folder):
        # No training has ended by these paces, so what failed may be measured once more.
        measured = {place: pace for place, pace in measured.items() if not isinstance(pace, str)}
    missing = [place for place in range(len(groups)) if place not in measured]
    if missing and _has_trained(folder):
        first = groups[missing[0]]
        raise ResumeMismatchError(
            f"{prepared.folder / PACES_FILE}: the paces are gone that decided how many epochs the "
            f"finished trainings have, such as that of {first.network} at {first.side} px. Put the "
            "file back, or begin the study in a new run folder."
        )
    tasks = {PaceProbe(groups[place].points[0]): place for place in missing}
    clock = ""
    with TrainingProgress(len(tasks), Console(quiet=quiet, stderr=True)) as progress:
        for task, outcome in _outcomes(prepared, list(tasks), progress):
            group = groups[tasks[task]]
            pace = rounded(outcome.value) if outcome.error is None else str(outcome.error)
            measured[tasks[task]] = pace
            folder.write_json(PACES_FILE, paces_json(groups, measured))
            words = pace if isinstance(pace, str) else f"{1000 * pace.train:.3g} ms per image"
            if isinstance(pace, StudyPace) and pace.clock != clock:
                clock = pace.clock
                progress.note(f"Paces are measured in {CLOCKS[clock]}.")
            progress.finish(f"pace of {group.network} {group.side} px: {words}")
    return prepared.with_paces(measured)


def _refuse_other_epochs(folder: Path, design: Mapping[str, Any]) -> None:
    """Refuse paces that give other epochs than the study began with."""
    pairs = zip(read_design(folder)["points"], design["points"], strict=True)
    changed = [
        f"- point {number} ({now['network']}): {then['epochs']} epochs then, {now['epochs']} now"
        for number, (then, now) in enumerate(pairs)
        if then["epochs"] not in (None, now["epochs"])
    ]
    if changed:
        raise ResumeMismatchError(
            describe_problems(
                f"{folder / PACES_FILE}: was changed after the study began.",
                changed,
                "Put the file back as the study wrote it, or begin the study in a new run folder.",
            )
        )


def _run(prepared: PreparedStudy, folder: RunFolder, quiet: bool) -> None:
    from rich.console import Console

    from efn_compose.jobs.trainings.watching.progress import TrainingProgress

    done = {record["training"] for record in folder.journal if record["error"] is None}
    tasks: list[StudyCell | FreeScores] = [*prepared.free, *prepared.cells]
    waiting = [task for task in tasks if task.name not in done]
    states = prepared.folder / STATES_FOLDER
    forget_states(states, done)
    with TrainingProgress(len(waiting), Console(quiet=quiet, stderr=True)) as progress:
        for words in prepared.warnings:
            progress.note(words)
        for task, outcome in _outcomes(prepared, waiting, progress):
            record = _record(task, outcome)
            folder.journal.append(record)
            if record["error"] is None:
                forget_states(states, [task.name])
            words = "  ".join(f"{name} {value:.4f}" for name, value in record["scores"].items())
            plan = prepared.plans[task.point]
            where = f"{task.name}  {plan.network} {plan.side} px"
            error = record["error"]
            progress.finish(f"{where}  {words}" if error is None else f"{where} failed: {error}")
    with suppress(OSError):  # there is none, or a state is left
        states.rmdir()


def _record(task: StudyCell | FreeScores, outcome: Outcome) -> dict[str, Any]:
    """Return the journal's line of a task."""
    found = {"scores": {}} if outcome.value is None else dict(outcome.value)
    timing = found.pop("timing", {})
    return {
        "training": task.name,
        "point": task.point,
        "fold": task.fold,
        "seed": getattr(task, "seed", None),
        **found,
        "error": outcome.error,
        "timing": {**timing, "wall_seconds": round(outcome.seconds, 3)},
    }


def _outcomes(
    prepared: PreparedStudy, tasks: Sequence[AnyTask], progress: "TrainingProgress"
) -> Iterator[tuple[AnyTask, Outcome]]:
    """Yield each task with its answer, as they finish."""
    if not tasks:
        return
    from efn_compose.jobs.study.worker import StudySetup

    states = prepared.folder / STATES_FOLDER
    states.mkdir(exist_ok=True)
    setup = StudySetup(
        donors=prepared.donors,
        plans=prepared.plans,
        folder=str(states.resolve()),
        metric="auc" if prepared.metric == "auc" else "accuracy",
    )
    with answering(
        setup,
        {key: found.folded for key, found in prepared.images.items()},
        prepared.config.executor,
        progress.note,
        most=len(tasks),
        # One process has all of this machine's threads.
        alone=dataclasses.replace(setup, threads=0),
    ) as answer:
        yield from answer(tasks)
