"""A submission before anything else has ended: one short training from the first weights.

It is what is handed in when the time is up before the story's own submission is made.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from efn_compose.config import load_config
from efn_compose.data import load_table
from efn_compose.data.folding.fold_table import write_fold_table
from efn_compose.data.folding.folds import make_folds
from efn_compose.jobs.pipeline.chapters import (
    ASKED,
    CHAPTER_VERBS,
    EARLY_FOLDER,
    RUN,
    SUBMISSION,
    first_training,
    overrides_of,
    stand_ins,
    submitting_chapter,
)
from efn_compose.jobs.pipeline.checks.images import is_cut_as_it_is
from efn_compose.jobs.pipeline.story import Chapter, Story
from efn_compose.jobs.trainings.options import SINGLE_SPLIT, TrainConfig
from efn_compose.store import atomic_path

PLAN_B_FILE, SUBMISSION_FILE = "plan_b.csv", "submission.csv"
#: Settings of the story's training that the short one keeps.
_KEPT = (
    "weights.file",
    "run.seed",
    "train.batch_size",
    "train.learning_rate",
    # A rate suits one optimizer.
    "train.optimizer",
    "train.optimizer_settings",
    "validation.file",
)
_KEPT_SECTIONS = ("data", "executor")


def make_early_submission(
    story: Story, folder: Path, *, quiet: bool, say: Callable[[str], None]
) -> bool:
    """Write `plan_b.csv` and, as long as there is no better one, `submission.csv`.

    Args:
        story: The story.
        folder: Its run folder.
        quiet: Draw no progress.
        say: Told in a line what has just happened.

    Returns:
        Whether the story asks for a submission at all.
    """
    last, trained = submitting_chapter(story), first_training(story)
    if last is None or trained is None:
        return False
    path = folder / PLAN_B_FILE
    if path.is_file():
        return True
    say("plan B: one epoch from the first weights, before anything else")
    given = stand_ins(story, trained)
    settings = {
        key: value
        for key, value in given.items()
        if key in _KEPT or key.split(".")[0] in _KEPT_SECTIONS
    }
    place = folder / EARLY_FOLDER / "train"
    settings |= {"train.epochs": 1, "validation.folds": 1, "validation.seeds": 1}
    settings |= _folds_of(story, trained, folder / EARLY_FOLDER / "folds.csv")
    settings |= {"run.path": str(place)}
    is_begun = (place / "environment.json").is_file()
    ended = CHAPTER_VERBS["train"].run(overrides_of(settings), is_begun, quiet)
    asked = {
        "run.path": str(folder / EARLY_FOLDER),
        "predict.networks": [str(ended.products[RUN])],
        **_asked_images(story, last),
    }
    template = last.settings.get("ensemble.template") or last.settings.get("predict.template")
    if template:
        asked["predict.template"] = template
    predicted = CHAPTER_VERBS["predict"].run(overrides_of(asked), False, quiet)
    for name in (PLAN_B_FILE, SUBMISSION_FILE):
        copy(predicted.products[SUBMISSION], folder / name)
    return True


def _folds_of(story: Story, trained: Chapter, file: Path) -> dict[str, str]:
    """Write the folds of a training that has fewer than those a single split is cut from.

    A class that few patients have may be in each of its folds, and not in each of more.
    """
    config = load_config(None, overrides_of(stand_ins(story, trained)), TrainConfig)
    if config.validation.cut >= SINGLE_SPLIT or not is_cut_as_it_is(config):
        return {}
    table = load_table(config.data.source, config.data.columns, config.data.folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    folds = make_folds(table, config.validation.cut, seed=config.run.seed)
    write_fold_table(table, folds.fold, file)
    return {"validation.file": str(file)}


def copy(source: Path, target: Path) -> None:
    """Copy a file atomically."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _asked_images(story: Story, last: Chapter) -> dict[str, Any]:
    """Return the images that the submission is about, as settings of `predict`."""
    key = ASKED[last.verb]
    settings = stand_ins(story, last)
    config: Any = load_config(None, overrides_of(settings), CHAPTER_VERBS[last.verb].schema)
    asked = getattr(config, key.split(".")[0])
    found = {"source": asked.source, "columns": list(asked.columns), "folder": asked.folder}
    return {f"predict.{name}": value for name, value in found.items() if value}
