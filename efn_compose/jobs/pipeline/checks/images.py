"""What would stop a chapter later on account of its images: sources, folds, patients in two sets."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from efn_compose.data import load_table
from efn_compose.data.folding.folds import make_folds
from efn_compose.data.split import split
from efn_compose.data.table import ImageTable
from efn_compose.errors import EfnComposeError
from efn_compose.jobs.pipeline.chapters import ASKED, writers_before
from efn_compose.jobs.pipeline.story import Chapter, Story
from efn_compose.jobs.trainings.options import TrainConfig

#: Settings that name images; which of them a chapter has, its configuration says. Without labelled images a
#: pretraining has no verdict.
NEEDED_SOURCES = ("data.source", "unlabelled.source", "predict.source")
_SOURCES = (*NEEDED_SOURCES, "labelled.source")
#: By verb, the setting whose images are looked at with their labels.
_LABELLED = {"train": "data.source", "evolve": "data.source", "pretrain": "labelled.source"}
_LISTED = 5
Tables = Mapping[str, ImageTable | str]


def wrong_images(
    story: Story, configs: Mapping[str, Any], tables: dict[str, ImageTable | str]
) -> list[str]:
    """Return problems of images, chapter by chapter.

    Args:
        story: The story.
        configs: Configuration of each chapter, by its name.
        tables: Receives the images of each source or what is wrong with them, by "chapter section.key".
    """
    problems = []
    read: dict[tuple[str, tuple[str, ...], str], ImageTable | str] = {}
    for chapter in story.chapters:
        for key in _SOURCES:
            asked = _asked(configs[chapter.name], key)
            if not asked[0]:
                continue
            table = read[asked] = read[asked] if asked in read else read_source(*asked)
            tables[f"{chapter.name} {key}"] = table
            if isinstance(table, str):
                problems.append(f"- {chapter.name}: {key}: {table}")
    folds = _Folds(configs, tables)
    return [
        *problems,
        *_impossible_folds(story, folds),
        *_impossible_splits(story, configs, tables),
        *_unequal_folds(story, folds),
        *_shared_patients(story, configs, tables),
    ]


def is_cut_as_it_is(config: TrainConfig) -> bool:
    """Return whether a training cuts the whole table of its source into folds, which nothing else changes."""
    data, validation = config.data, config.validation
    return not (
        data.images
        or data.unreadable_share
        or validation.file
        or validation.duplicates == "join"
        or config.objective.kind == "segment"
    )


class _Folds:
    """Folds of trainings that are known before, each cut once.

    Args:
        configs: Configuration of each chapter, by its name.
        tables: Images or what is wrong with them, by "chapter section.key".
    """

    def __init__(self, configs: Mapping[str, Any], tables: Tables) -> None:
        self.configs, self.tables = configs, tables
        self._cut: dict[tuple[int, int, int], np.ndarray | str] = {}

    def of(self, chapter: Chapter) -> np.ndarray | str | None:
        """Return (image,) the fold of each, what is wrong with them, or None where it is not known."""
        config = self.configs[chapter.name]
        table = self.tables.get(f"{chapter.name} data.source")
        if not isinstance(config, TrainConfig) or not isinstance(table, ImageTable):
            return None
        if not is_cut_as_it_is(config):
            return None
        key = (id(table), config.validation.cut, config.run.seed)
        if key not in self._cut:
            try:
                self._cut[key] = make_folds(table, key[1], seed=key[2]).fold
            except EfnComposeError as error:
                self._cut[key] = str(error)
        return self._cut[key]


def _impossible_folds(story: Story, folds: _Folds) -> Iterator[str]:
    """Yield each training whose images cannot be cut into its folds."""
    for chapter in story.chapters:
        found = folds.of(chapter)
        if isinstance(found, str):
            yield f"- {chapter.name}: {found}"


def _impossible_splits(story: Story, configs: Mapping[str, Any], tables: Tables) -> Iterator[str]:
    """Yield each search and each verdict of a pretraining whose labelled images cannot be split."""
    for chapter in story.chapters:
        table = tables.get(f"{chapter.name} {_LABELLED.get(chapter.verb, '')}")
        if not isinstance(table, ImageTable):
            continue
        config = configs[chapter.name]
        try:
            if chapter.verb == "pretrain":
                table.all_labelled()
            elif chapter.verb == "evolve" and not config.data.unreadable_share:
                split(table, config.data, config.run.seed)
        except EfnComposeError as error:
            yield f"- {chapter.name}: {error}"


def _unequal_folds(story: Story, folds: _Folds) -> Iterator[str]:
    """Yield each ensemble whose trainings are not validated on the same images, fold by fold."""
    for chapter in story.chapters:
        if chapter.verb != "ensemble":
            continue
        trainings = [story[found.chapter] for _, found in chapter.references]
        for training in trainings:
            if folds.configs[training.name].validation.folds < 2:
                yield (
                    f"- {chapter.name}: {training.name} has one fold, and an ensemble needs an answer "
                    f"out of fold to every image. Set {training.name}.validation.folds to 2 or more"
                )
        known = [(one, rows) for one in trainings if isinstance(rows := folds.of(one), np.ndarray)]
        for one, rows in known[1:]:
            if not (np.array_equal(rows, known[0][1]) and _same_images(folds, one, known[0][0])):
                yield (
                    f"- {chapter.name}: {known[0][0].name} and {one.name} have other folds, which "
                    "cannot be joined. Give both the same data.source, validation.folds and run.seed"
                )


def _same_images(folds: _Folds, one: Chapter, other: Chapter) -> bool:
    mine, theirs = (folds.tables[f"{chapter.name} data.source"] for chapter in (one, other))
    if isinstance(mine, str) or isinstance(theirs, str) or mine is theirs:
        return True
    names = ([table.image_name(n) for n in range(len(table))] for table in (mine, theirs))
    return next(names) == next(names)


def _asked(config: Any, key: str) -> tuple[str, tuple[str, ...], str]:
    """Return source, columns and folder of images; an empty source where there are none."""
    name, field = key.split(".")
    section = getattr(config, name, None)
    columns = tuple(getattr(section, "columns", None) or ())
    return str(getattr(section, field, "")), columns, getattr(section, "folder", "")


def read_source(source: str, columns: tuple[str, ...] = (), folder: str = "") -> ImageTable | str:
    """Return the images of a source, or what is wrong with it.

    Args:
        source: As for `load_table`.
        columns: As for `load_table`.
        folder: As for `load_table`.
    """
    try:
        return load_table(source, columns, folder, needs_labels=False)
    except EfnComposeError as error:
        return str(error)


def _shared_patients(story: Story, configs: Mapping[str, Any], tables: Tables) -> Iterator[str]:
    """Yield each submission whose images show patients whose labels are known."""
    for last in story.chapters:
        if last.verb not in ASKED:
            continue
        asked = _patients(tables, last, ASKED[last.verb])
        readers: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for chapter in writers_before(story, last):
            key = _LABELLED.get(chapter.verb, "")
            shared = tuple(sorted(asked & _patients(tables, chapter, key)))
            if shared:
                source = _asked(configs[chapter.name], key)[0]
                readers.setdefault((source, shared), []).append(chapter.name)
        for (source, shared), names in readers.items():
            named = ", ".join(shared[:_LISTED]) + (", …" if len(shared) > _LISTED else "")
            yield (
                f"- {last.name}: {len(shared)} of its patients are also in {source}, whose labels "
                f"{', '.join(names)} learn: {named}. Leave them out of one of the two"
            )


def _patients(tables: Tables, chapter: Chapter, key: str) -> set[str]:
    table = tables.get(f"{chapter.name} {key}")
    return set(table.group_names) if isinstance(table, ImageTable) and table.group_names else set()
