"""What would stop a stage later, found before the first one starts."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.arch import ArchSpec
from efn_compose.config import load_config
from efn_compose.data import load_table
from efn_compose.data.folding.folds import make_folds
from efn_compose.data.table import ImageTable
from efn_compose.donors.group_norm import needs_batch_norm
from efn_compose.donors.licences import licences_of
from efn_compose.errors import ConfigError, EfnComposeError, describe_problems
from efn_compose.evolve.run_config import RunConfig
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.memory_plan import Machine
from efn_compose.jobs.pipeline.stages import (
    EARLY_FOLDER,
    READS,
    STAGE_VERBS,
    overrides_of,
    product_kind,
    stand_ins,
    writers_before,
)
from efn_compose.jobs.pipeline.story import Stage, Story, as_reference
from efn_compose.jobs.pipeline.work import Counted, Work
from efn_compose.jobs.search.preparation import load_entry
from efn_compose.jobs.trainings.options import TrainConfig

#: Settings that name images; which of them a stage has, its configuration says.
_SOURCES = ("data.source", "labelled.source", "unlabelled.source", "predict.source")
#: Verbs that refuse weights with GroupNorm, and what the refusal calls their work.
_NEEDS_BATCH_NORM = {"pretrain": "a pretraining", "evolve": "a search", "nest": "nesting"}
_LISTED = 5


@dataclass(frozen=True)
class Checked:
    """What is known of a story before its first stage.

    Args:
        work: What each stage has to do, by its name; plan B before all others.
        licences: Those that each of the story's weight files states, by its entry; none is empty.
        search_device: Of a search in this process, which has one thread; empty: there is none.
    """

    work: Mapping[str, Work]
    licences: Mapping[str, tuple[str, ...]]
    search_device: str = ""


def check_story(story: Story, folder: Path) -> Checked:
    """Check every stage: settings, what it reads of others, weights, images, memory, room on the disk.

    Args:
        story: The story.
        folder: Where it will run.

    Returns:
        What it takes, and the licences of its weights.

    Raises:
        ConfigError: Everything that is wrong, stage by stage.
    """
    problems: list[str] = []
    configs: dict[str, Any] = {}
    for stage in story.stages:
        wrong = list(_wrong_references(story, stage))
        if wrong:
            problems += wrong
            continue
        settings = stand_ins(story, stage) | {"run.path": str(folder / stage.name)}
        try:
            configs[stage.name] = load_config(
                None, overrides_of(settings), STAGE_VERBS[stage.verb].schema
            )
        except EfnComposeError as error:
            problems.append(f"- {stage.name}: {error}")
    specs: dict[str, ArchSpec] = {}
    licences: dict[str, tuple[str, ...]] = {}
    images: dict[str, int] = {}
    work: dict[str, Work] = {}
    if not problems:
        problems += [
            *_wrong_weights(story, specs, licences),
            *_wrong_normalisation(story, configs, specs),
            *_wrong_images(story, configs, images),
        ]
    if not problems:
        counted = Counted(story, configs, specs, images, Machine.here())
        for stage in story.stages:
            try:
                work[stage.name] = counted.work(stage)
            except EfnComposeError as error:
                problems.append(f"- {error}")
        early = counted.early() if not problems else None
        work = ({EARLY_FOLDER: early} if early is not None else {}) | work
        problems += _lack_of_room(sum(one.disk_bytes for one in work.values()), folder)
    if problems:
        raise ConfigError(
            describe_problems(
                f"{story.name}: {len(problems)} problems; nothing was written.",
                problems,
                "Mend the story file.",
            )
        )
    searches = [
        config.executor.device
        for config in configs.values()
        if isinstance(config, RunConfig) and EXECUTORS[config.executor.chosen].is_in_process
    ]
    kinds = ["cpu" if device == "auto" else device for device in searches]
    return Checked(work, licences, kinds[0] if kinds else "")


def _wrong_references(story: Story, stage: Stage) -> Iterator[str]:
    for key, found in stage.references:
        if key not in READS:
            yield f"- {stage.name}: {key} reads no product of another stage; received {found}"
        elif not product_kind(story[found.stage], key, found.product):
            writes = ", ".join(STAGE_VERBS[story[found.stage].verb].writes)
            wanted = " or ".join(READS[key])
            yield (
                f"- {stage.name}: {key} reads {wanted}, and {found} is none: "
                f"{found.stage} ({story[found.stage].verb}) writes {writes}"
            )


def _wrong_weights(
    story: Story, specs: dict[str, ArchSpec], licences: dict[str, tuple[str, ...]]
) -> list[str]:
    """Return problems of weights; note network and licences of each file, which is read once."""
    wrong: dict[str, str] = {}
    problems = []
    for stage in story.stages:
        settings = stand_ins(story, stage)
        for key in ("weights.file", "donors.files", "convert.file", "nest.file"):
            value = settings.get(key, [])
            for entry in value if isinstance(value, list) else [value]:
                if entry not in specs and entry not in wrong:
                    try:
                        donor = load_entry(entry)
                        specs[entry] = donor.spec
                        licences[entry] = licences_of(donor.provenance)
                    except EfnComposeError as error:
                        wrong[entry] = str(error)
                if entry in wrong:
                    problems.append(f"- {stage.name}: {key}: {wrong[entry]}")
    return problems


def _wrong_normalisation(
    story: Story, configs: Mapping[str, Any], specs: Mapping[str, ArchSpec]
) -> Iterator[str]:
    """Yield each stage that needs BatchNorm where its weights have, or will have, GroupNorm."""

    def has_group_norm(entry: str) -> bool:
        reference = as_reference(entry)
        if reference is None:
            return entry in specs and specs[entry].normalisation == "group"
        config = configs[reference.stage]
        return (isinstance(config, TrainConfig) and config.train.normalisation != "own") or any(
            map(has_group_norm, _weights_of(story[reference.stage]))
        )

    for stage in story.stages:
        doing = _NEEDS_BATCH_NORM.get(stage.verb, "")
        if isinstance(config := configs[stage.name], TrainConfig) and config.train.advprop:
            doing = "advprop"
        if doing:
            for entry in filter(has_group_norm, _weights_of(stage)):
                key = STAGE_VERBS[stage.verb].start
                yield f"- {stage.name}: {key}: {needs_batch_norm(entry, doing)}"


def _weights_of(stage: Stage) -> list[str]:
    """Return the weights that a stage starts from: files, or references to other stages."""
    value = stage.settings.get(STAGE_VERBS[stage.verb].start, [])
    return value if isinstance(value, list) else [value]


def _wrong_images(story: Story, configs: Mapping[str, Any], images: dict[str, int]) -> list[str]:
    """Return problems of images, and patients that are trained on and asked about; note counts."""
    problems = []
    tables: dict[str, ImageTable | str] = {}
    read: dict[tuple[str, tuple[str, ...], str], ImageTable | str] = {}
    for stage in story.stages:
        for key in _SOURCES:
            asked = _asked(configs[stage.name], key)
            if not asked[0]:
                continue
            table = read[asked] = read[asked] if asked in read else _table(*asked)
            tables[f"{stage.name} {asked[0]}"] = table
            if isinstance(table, str):
                problems.append(f"- {stage.name}: {key}: {table}")
            else:
                images[f"{stage.name} {key}"] = len(table)
    return [*problems, *_impossible_folds(story, configs, tables), *_shared_patients(story, tables)]


def is_cut_as_it_is(config: TrainConfig) -> bool:
    """Whether a training cuts the whole table of its source into folds, which nothing else changes."""
    data, validation = config.data, config.validation
    return not (
        data.images
        or data.unreadable_share
        or validation.file
        or validation.duplicates == "join"
        or config.objective.kind == "segment"
    )


def _impossible_folds(
    story: Story, configs: Mapping[str, Any], tables: Mapping[str, ImageTable | str]
) -> Iterator[str]:
    """Yield each training whose images cannot be cut into its folds."""
    for stage in story.stages:
        config = configs[stage.name]
        if not isinstance(config, TrainConfig) or not is_cut_as_it_is(config):
            continue
        table = tables.get(f"{stage.name} {config.data.source}")
        if isinstance(table, ImageTable):
            try:
                make_folds(table, config.validation.cut, seed=config.run.seed)
            except EfnComposeError as error:
                yield f"- {stage.name}: {error}"


def _lack_of_room(room: int, folder: Path) -> list[str]:
    free = room_for(folder)
    if room <= free:
        return []
    return [
        f"- disk: the stages write about {room / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. "
        "Make room, choose another folder (-o), or train fewer networks"
    ]


def room_for(folder: Path) -> int:
    """Return the free bytes where a folder is or will be."""
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    return shutil.disk_usage(place).free


def _asked(config: Any, key: str) -> tuple[str, tuple[str, ...], str]:
    """Return source, columns and folder of images; an empty source where there are none."""
    name, field = key.split(".")
    section = getattr(config, name, None)
    columns = tuple(getattr(section, "columns", None) or ())
    return str(getattr(section, field, "")), columns, getattr(section, "folder", "")


def _table(source: str, columns: tuple[str, ...], folder: str) -> ImageTable | str:
    """Return the images of a source, or what is wrong with it."""
    try:
        return load_table(source, columns, folder, needs_labels=False)
    except EfnComposeError as error:
        return str(error)


def _shared_patients(story: Story, tables: dict[str, ImageTable | str]) -> Iterator[str]:
    """Yield each submission whose images show patients that were trained on."""
    for last in story.stages:
        if last.verb not in ("ensemble", "predict"):
            continue
        asked = _patients(tables, last.name)
        for trained in writers_before(story, last):
            shared = sorted(asked & _patients(tables, trained.name))
            if shared and trained.verb == "train":
                named = ", ".join(shared[:_LISTED]) + (", …" if len(shared) > _LISTED else "")
                yield (
                    f"- {last.name}: {len(shared)} of its patients are trained on by {trained.name}: {named}"
                )


def _patients(tables: dict[str, ImageTable | str], stage: str) -> set[str]:
    names: set[str] = set()
    for key, table in tables.items():
        if key.split(" ")[0] == stage and isinstance(table, ImageTable) and table.group_names:
            names |= set(table.group_names)
    return names
