"""What would stop a stage later, found before the first one starts."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from efn_compose.arch import ArchSpec, arch_spec
from efn_compose.arch.cost import cost
from efn_compose.config import load_config
from efn_compose.data import load_table
from efn_compose.data.table import ImageTable
from efn_compose.errors import ConfigError, EfnComposeError, describe_problems
from efn_compose.jobs.pipeline.stages import (
    READS,
    STAGE_VERBS,
    overrides_of,
    product_kind,
    with_products,
)
from efn_compose.jobs.pipeline.story import Reference, Stage, Story
from efn_compose.jobs.search.preparation import load_entry

#: Settings that name images; which of them a stage has, its configuration says.
_SOURCES = ("data.source", "labelled.source", "unlabelled.source", "predict.source")
#: A network's file, its state with two moments per weight, and room for one more file.
_FILES_PER_TRAINING = 4
#: Members and averages that a search keeps.
_KEPT_BY_SEARCH = 8
_LISTED = 5


def check_story(story: Story, folder: Path) -> dict[str, int]:
    """Check every stage: settings, what it reads of others, weights, images, room on the disk.

    Args:
        story: The story.
        folder: Where it will run.

    Returns:
        About how many bytes each stage writes.

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
    disk: dict[str, int] = {}
    if not problems:
        problems += [*_wrong_weights(story, specs), *_wrong_images(story, configs)]
    if not problems:
        disk = {s.name: _bytes_of(story, s, configs[s.name], specs) for s in story.stages}
        problems += _lack_of_room(sum(disk.values()), folder)
    if problems:
        raise ConfigError(
            describe_problems(
                f"{story.name}: {len(problems)} problems; nothing was written.",
                problems,
                "Mend the story file.",
            )
        )
    return disk


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


def stand_ins(story: Story, stage: Stage) -> dict[str, Any]:
    """Return a stage's settings with starting weights in place of weights to come.

    What a stage makes of weights is weights of the same kind. A check before the first stage, and a
    submission that cannot wait for all of them, therefore go back to where the weights come from.
    """
    return with_products(stage, lambda key, found: _start(story, found))


def _start(story: Story, found: Reference) -> list[str]:
    writer = story[found.stage]
    start = STAGE_VERBS[writer.verb].start
    value = stand_ins(story, writer).get(start) if start else None
    if value is None:
        return [str(found)]
    return [value[0] if isinstance(value, list) else value]


def _wrong_weights(story: Story, specs: dict[str, ArchSpec]) -> list[str]:
    """Return problems of weights; note the network of each file, which is read once."""
    wrong: dict[str, str] = {}
    problems = []
    for stage in story.stages:
        settings = stand_ins(story, stage)
        for key in ("weights.file", "donors.files", "convert.file", "nest.file"):
            value = settings.get(key, [])
            for entry in value if isinstance(value, list) else [value]:
                if entry not in specs and entry not in wrong:
                    try:
                        specs[entry] = load_entry(entry).spec
                    except EfnComposeError as error:
                        wrong[entry] = str(error)
                if entry in wrong:
                    problems.append(f"- {stage.name}: {key}: {wrong[entry]}")
    return problems


def _wrong_images(story: Story, configs: Mapping[str, Any]) -> list[str]:
    """Return problems of images, and patients that are trained on and asked about."""
    problems = []
    tables: dict[str, ImageTable | str] = {}
    for stage in story.stages:
        for key in _SOURCES:
            source = _value(configs[stage.name], key)
            if source and f"{stage.name} {source}" not in tables:
                table = _table(source, configs[stage.name], key)
                tables[f"{stage.name} {source}"] = table
                if isinstance(table, str):
                    problems.append(f"- {stage.name}: {key}: {table}")
    return [*problems, *_shared_patients(story, tables)]


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


def _bytes_of(story: Story, stage: Stage, config: Any, specs: Mapping[str, ArchSpec]) -> int:
    """Return about how many bytes a stage writes."""
    start = STAGE_VERBS[stage.verb].start
    value = stand_ins(story, stage).get(start) if start else None
    if not value:
        return 0
    networks = [specs[value[0] if isinstance(value, list) else value]]
    if hasattr(config, "weights") and getattr(config.weights, "variants", None):
        networks = [arch_spec(name) for name in config.weights.variants]
    parameters = sum(cost(spec, 32).parameters for spec in networks)
    return _FILES_PER_TRAINING * 4 * parameters * _trainings(config)


def _trainings(config: Any) -> int:
    """Return how many trainings of each network a stage keeps on the disk."""
    if hasattr(config, "validation"):
        return int(config.validation.folds * config.validation.seeds)
    if hasattr(config, "pretrain"):
        return len(config.pretrain.methods) * int(config.pretrain.seeds)
    return _KEPT_BY_SEARCH if hasattr(config, "donors") else 1


def _value(config: Any, key: str) -> str:
    section, name = key.split(".")
    found = getattr(getattr(config, section, None), name, "")
    return str(found)


def _table(source: str, config: Any, key: str) -> ImageTable | str:
    section = getattr(config, key.split(".")[0])
    try:
        return load_table(
            source,
            tuple(getattr(section, "columns", None) or ()),
            getattr(section, "folder", ""),
            needs_labels=False,
        )
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


def writers_before(story: Story, stage: Stage) -> list[Stage]:
    """Return all stages whose products a stage reads, itself or through others."""
    found: dict[str, Stage] = {}
    for _, reference in stage.references:
        writer = story[reference.stage]
        found[writer.name] = writer
        found |= {ancestor.name: ancestor for ancestor in writers_before(story, writer)}
    return list(found.values())


def _patients(tables: dict[str, ImageTable | str], stage: str) -> set[str]:
    names: set[str] = set()
    for key, table in tables.items():
        if key.split(" ")[0] == stage and isinstance(table, ImageTable) and table.group_names:
            names |= set(table.group_names)
    return names
