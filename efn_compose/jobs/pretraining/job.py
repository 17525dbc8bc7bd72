"""`pretrain`: from a donor and images without labels to a donor of the same lineage, with a verdict."""

import dataclasses
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efn_compose.analysis.page.pretraining_page import write_pretraining_report
from efn_compose.errors import EvaluationError
from efn_compose.evolve.watching.board import open_board
from efn_compose.jobs.executing import Answering, answering
from efn_compose.jobs.pretraining.cells import PretrainCell, PretrainResult
from efn_compose.jobs.pretraining.preparation import (
    STORED,
    PreparedPretraining,
    prepare_pretraining,
)
from efn_compose.jobs.pretraining.verdict import ABSORBED, SCORES, ArmVerdict, give_verdicts
from efn_compose.jobs.trainings.unfinished import forget_state
from efn_compose.store import RunFolder, atomic_path
from efn_compose.store.run_folder import RESULT_FILE

if TYPE_CHECKING:
    from efn_compose.jobs.pretraining.progress import PretrainProgress

#: The weights that a run of pretrainings hands on.
LAST_FILE = "last.h5"


@dataclass(frozen=True)
class PretrainSummary:
    """The result of a finished run of pretrainings.

    Args:
        folder: The run folder.
        weights: The donor: of the only pretraining, or of the one that the verdict puts first.
        verdicts: Each pretraining against the absorbed donor, the best first; empty without labels.
        alarms: All alarms, with the pretraining and the epoch.
        notes: What a reader should know, such as images that were learnt from and judged by.
    """

    folder: Path
    weights: Path
    verdicts: Sequence[ArmVerdict]
    alarms: Sequence[str]
    notes: Sequence[str]

    def __str__(self) -> str:
        """Return verdict, alarms and notes as lines for people."""
        words = [verdict.words for verdict in self.verdicts]
        words = words or ["No labelled images were given (labelled.source), so nothing was judged."]
        return "\n".join([*words, *(f"alarm: {alarm}" for alarm in self.alarms), *self.notes])


def pretrain(
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    quiet: bool = False,
) -> PretrainSummary:
    """Train a donor on images without labels, and say whether that was worth it.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        resume: Go on with the run folder's run instead of beginning a new one.
        quiet: Draw no progress.

    Returns:
        Where everything is, the verdict and the alarms.

    Raises:
        EfnComposeError: Bad input (nothing was written), or a pretraining that cannot go on
            (everything so far is on the disk; resume it).

    Example:
        >>> efn_compose.pretrain(overrides=["weights.file=lite0.h5",
        ...                                 "unlabelled.source=folder:photos"])  # doctest: +SKIP
    """
    prepared = prepare_pretraining(config_path, overrides, show_progress=not quiet, resume=resume)
    with STORED.opened(prepared.folder, prepared.config, prepared.identity, resume) as folder:
        return _run(prepared, folder, quiet)


def _run(prepared: PreparedPretraining, folder: RunFolder, quiet: bool) -> PretrainSummary:
    from rich.console import Console

    from efn_compose.jobs.pretraining.progress import PretrainProgress

    done = _done(folder)
    cells = [cell for cell in prepared.cells if not _is_finished(prepared, done, cell)]
    for cell in prepared.cells:
        if cell not in cells:
            forget_state(prepared.folders[cell.name])
    judgements = [task for task in prepared.judgements if task.name not in done]
    with PretrainProgress(len(cells), prepared, Console(quiet=quiet, stderr=True)) as progress:
        for note in prepared.notes:
            progress.note(note)
        with _workers(prepared, len(cells) + len(judgements), progress) as answer:
            for task, outcome in answer(cells):
                _keep_pretraining(folder, task, outcome.value, outcome.error)
                if outcome.value is not None:
                    forget_state(prepared.folders[task.name])
                    _put_on_board(prepared.folder, task, outcome.value)
                progress.ended(task, outcome.value, outcome.error)
            failed = {r.get("training") for r in folder.journal if r.get("error")}
            failed -= _done(folder).keys()
            for task, outcome in answer([t for t in judgements if t.arm not in failed]):
                record = {"judgement": task.name, "arm": task.arm, "seed": task.seed}
                scores = {"scores": outcome.value or {}, "error": outcome.error}
                folder.journal.append(record | scores)
                progress.judged(task, outcome.value, outcome.error)
    return _end(prepared, folder)


def _workers(
    prepared: PreparedPretraining, tasks: int, progress: "PretrainProgress"
) -> AbstractContextManager[Answering]:
    """Return the workers of so many tasks, while a `with` block lasts."""
    from efn_compose.jobs.pretraining.worker import PretrainSetup

    config = prepared.config
    setup = PretrainSetup(
        donor=prepared.donor,
        folders={name: str(path.resolve()) for name, path in prepared.folders.items()},
        pretrain=config.pretrain,
        views=config.views,
        augment=config.augment,
        judge_epochs=config.labelled.epochs,
        judge_head=config.labelled.head_start,
        seed=config.run.seed,
    )
    return answering(
        setup,
        prepared.images,
        config.executor,
        progress.note,
        most=len(prepared.cells) if tasks else 0,
        alone=dataclasses.replace(setup, threads=0, watch=progress.begin),
    )


def _done(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """Return the journal's last lines of all pretrainings and judgements that ended well, by name."""
    found = {}
    for record in folder.journal:
        if record.get("finished") or (record.get("judgement") and record["error"] is None):
            found[record.get("judgement") or record["training"]] = record
    return found


def _is_finished(
    prepared: PreparedPretraining, done: dict[str, dict[str, Any]], cell: PretrainCell
) -> bool:
    return cell.name in done and (prepared.folders[cell.name] / LAST_FILE).is_file()


def _keep_pretraining(
    folder: RunFolder, cell: PretrainCell, result: PretrainResult | None, error: str | None
) -> None:
    """Append a line for each epoch, and one for the end."""
    record: dict[str, Any] = {"training": cell.name, "method": cell.method, "seed": cell.seed}
    if result is None:
        folder.journal.append({**record, "error": error})
        return
    known = {(r.get("training"), r["epoch"]) for r in folder.journal if "epoch" in r}
    for epoch in result.epochs:
        if (cell.name, epoch["epoch"]) not in known:
            folder.journal.append({**record, **epoch})
    folder.journal.append({**record, "finished": True, "best_epoch": result.best_epoch})


def _put_on_board(folder: Path, cell: PretrainCell, result: PretrainResult) -> None:
    """Write monitors for TensorBoard, where it is installed."""
    board = open_board(folder)
    if board is None:
        return
    for epoch in result.epochs:
        scalars = {"loss": epoch["loss"], **epoch["monitors"]}
        named = {f"{cell.name}/{name}": value for name, value in scalars.items()}
        board.put(named, epoch["epoch"], time.time())
    board.close()


def _end(prepared: PreparedPretraining, folder: RunFolder) -> PretrainSummary:
    done = _done(folder)
    finished = [cell for cell in prepared.cells if cell.name in done]
    if not finished:
        errors = sorted({r["error"] for r in folder.journal if r.get("error")})
        raise EvaluationError(f"{prepared.folder}: no pretraining ended well. " + "; ".join(errors))
    verdicts = _verdicts(prepared, done)
    first = verdicts[0].name if verdicts else finished[0].name
    weights = prepared.folder / LAST_FILE
    if prepared.folders[first] != prepared.folder:
        with atomic_path(weights) as temporary:
            shutil.copyfile(prepared.folders[first] / LAST_FILE, temporary)
    notes = [*prepared.notes, *_failures(folder, done)]
    found = [
        f"{r['training']}, epoch {r['epoch']}: {alarm}"
        for r in folder.journal
        for alarm in r.get("alarms", ())
    ]
    folder.write_json(
        RESULT_FILE,
        {
            "weights": LAST_FILE,
            "of": first,
            "verdicts": {verdict.name: verdict.to_json() for verdict in verdicts},
            "alarms": found,
            "notes": notes,
            "images": len(prepared.images.unlabelled),
            "transductive_images": prepared.images.both,
        },
    )
    write_pretraining_report(prepared.folder)
    return PretrainSummary(prepared.folder, weights, verdicts, found, notes)


def _failures(folder: RunFolder, done: dict[str, dict[str, Any]]) -> list[str]:
    """Return what did not end well, a line each."""
    last = {r.get("judgement") or r["training"]: r for r in folder.journal if r.get("error")}
    return [f"failed: {name}: {r['error']}" for name, r in last.items() if name not in done]


def _verdicts(prepared: PreparedPretraining, done: dict[str, dict[str, Any]]) -> list[ArmVerdict]:
    """Compare all arms whose judgements are complete."""
    scores: dict[str, list[dict[str, float]]] = {}
    for task in prepared.judgements:
        if task.name in done:
            scores.setdefault(task.arm, []).append(done[task.name]["scores"])
    whole = {
        arm: rows
        for arm, rows in scores.items()
        if len(rows) == prepared.config.labelled.seeds
        and all(SCORES.keys() <= r.keys() for r in rows)
    }
    return give_verdicts(whole) if ABSORBED in whole else []
