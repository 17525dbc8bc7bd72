"""What would stop a chapter later, found before the first one starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.analysis.reading.figures import count
from efn_compose.arch import ArchSpec
from efn_compose.config import check_config
from efn_compose.data import ImageTable
from efn_compose.data.cache.place import FOLDER_VARIABLE, cache_folder, list_cache
from efn_compose.donors.licences import licences_of
from efn_compose.errors import ConfigError, EfnComposeError, describe_problems
from efn_compose.evolve.run_config import RunConfig
from efn_compose.evolve.verdict.verdict import is_reserved
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.donor_entries import load_entry, no_name
from efn_compose.jobs.memory_plan import Machine
from efn_compose.jobs.pipeline.chapters import (
    CHAPTER_VERBS,
    EARLY_FOLDER,
    READS,
    overrides_of,
    product_kind,
    stand_ins,
)
from efn_compose.jobs.pipeline.checks.images import NEEDED_SOURCES, wrong_images
from efn_compose.jobs.pipeline.checks.networks import (
    impossible_answers,
    impossible_nestings,
    wrong_normalisation,
)
from efn_compose.jobs.pipeline.checks.settings import wrong_settings
from efn_compose.jobs.pipeline.story import Chapter, Story
from efn_compose.jobs.pipeline.work import Counted, Work
from efn_compose.store.atomic import existing_folder, free_bytes


@dataclass(frozen=True)
class Checked:
    """What is known of a story before its first chapter.

    Args:
        work: What each chapter has to do, by its name; plan B before all others.
        licences: Those that each of the story's weight files states, by its entry; none is empty.
        cache_bytes: What decoded images take in the cache of this machine.
        search_device: Of a search in this process, which has one thread; empty: there is none.
    """

    work: Mapping[str, Work]
    licences: Mapping[str, tuple[str, ...]]
    cache_bytes: int = 0
    search_device: str = ""


def check_story(story: Story, folder: Path) -> Checked:
    """Check every chapter: settings, what it reads of others, weights, images, memory, room on the disk.

    Args:
        story: The story.
        folder: Where it will run.

    Returns:
        What it takes, and the licences of its weights.

    Raises:
        ConfigError: Everything that is wrong, chapter by chapter.
    """
    problems: list[str] = []
    configs: dict[str, Any] = {}
    for chapter in story.chapters:
        wrong = list(_wrong_references(story, chapter))
        if wrong:
            problems += wrong
            continue
        settings = stand_ins(story, chapter) | {"run.path": str(folder / chapter.name)}
        schema = CHAPTER_VERBS[chapter.verb].schema
        configs[chapter.name], wrong = check_config({}, overrides_of(settings), schema, flag="")
        wrong += _unnamed(configs[chapter.name])
        problems += [f"- {chapter.placed(problem)}" for problem in wrong]
    # What several chapters take from [everywhere] is wrong once.
    problems = list(dict.fromkeys(problems))
    specs: dict[str, ArchSpec] = {}
    licences: dict[str, tuple[str, ...]] = {}
    tables: dict[str, ImageTable | str] = {}
    work: dict[str, Work] = {}
    cached = 0
    if not problems:
        problems += [
            *_wrong_weights(story, specs, licences),
            *wrong_normalisation(story, configs, specs),
            *wrong_images(story, configs, tables),
            *wrong_settings(story, configs, tables),
        ]
    images = {key: len(table) for key, table in tables.items() if isinstance(table, ImageTable)}
    if not problems:
        counted = Counted(story, configs, specs, images, Machine.here())
        problems += [*impossible_nestings(counted), *impossible_answers(story, configs)]
    if not problems:
        for chapter in story.chapters:
            try:
                work[chapter.name] = counted.work(chapter)
            except EfnComposeError as error:
                problems.append(f"- {error}")
        early = counted.early() if not problems else None
        work = ({EARLY_FOLDER: early} if early is not None else {}) | work
        cached = _cache_bytes(configs, work)
        room = sum(one.disk_bytes for one in work.values())
        problems += _lack_of_room(room, cached, folder, counted.machine)
    if problems:
        raise ConfigError(
            describe_problems(
                f"{story.file or story.name}: {count(len(problems), 'problem')}; nothing was written.",
                problems,
                f"Mend the story file. Its paths are seen from {Path.cwd()}.",
            )
        )
    searches = [
        config.executor.device
        for config in configs.values()
        if isinstance(config, RunConfig) and EXECUTORS[config.executor.chosen].is_in_process
    ]
    kinds = ["cpu" if device == "auto" else device for device in searches]
    return Checked(work, licences, cached, kinds[0] if kinds else "")


def _unnamed(config: Any) -> Iterator[str]:
    """Yield each setting of a chapter that must name files or images, and names none."""
    for key in (*READS, *NEEDED_SOURCES):
        section, _, name = key.partition(".")
        if not getattr(getattr(config, section, None), name, "not a setting of this verb"):
            named = "files, or an earlier chapter in braces" if key in READS else "images"
            example = "{weights}" if key in READS else "folder:photos"
            yield f"{key} is empty. Name {named}, such as {example!r}."


def _wrong_references(story: Story, chapter: Chapter) -> Iterator[str]:
    for key, found in chapter.references:
        if key not in READS:
            yield f"- {chapter.name}: {key} reads no product of another chapter; received {found}"
        elif not product_kind(story[found.chapter], key, found.product):
            writes = ", ".join(CHAPTER_VERBS[story[found.chapter].verb].writes)
            wanted = " or ".join(READS[key])
            yield (
                f"- {chapter.name}: {key} reads {wanted}, and {found} is none: "
                f"{found.chapter} ({story[found.chapter].verb}) writes {writes}"
            )


def _wrong_weights(
    story: Story, specs: dict[str, ArchSpec], licences: dict[str, tuple[str, ...]]
) -> list[str]:
    """Return problems of weights; note network and licences of each file, which is read once."""
    wrong: dict[str, str] = {}
    problems = []
    for chapter in story.chapters:
        settings = stand_ins(story, chapter)
        for key in ("weights.file", "donors.files", "convert.file", "nest.file"):
            value = settings.get(key, [])
            for entry in value if isinstance(value, list) else [value]:
                if entry not in specs and entry not in wrong:
                    try:
                        donor = load_entry(entry, is_reserved if key == "donors.files" else no_name)
                        specs[entry] = donor.spec
                        licences[entry] = licences_of(donor.provenance)
                    except EfnComposeError as error:
                        wrong[entry] = str(error)
                if entry in wrong:
                    problems.append(f"- {chapter.name}: {key}: {wrong[entry]}")
    return problems


def _cache_bytes(configs: Mapping[str, Any], work: Mapping[str, Work]) -> int:
    """Return what decoded images take in the cache; those of a source and size are there once."""
    found = {}
    for name, one in work.items():
        if one.memory is not None and one.memory.is_cached:
            config = configs[name]
            images = config.unlabelled if hasattr(config, "unlabelled") else config.data
            found[images.source, one.memory.demand.size] = one.memory.disk_bytes
    return sum(found.values())


def _lack_of_room(room: int, cached: int, folder: Path, machine: Machine) -> Iterator[str]:
    if cached > machine.disk_bytes:
        yield (
            f"- cache: the decoded images of all chapters take {cached / 1e9:.1f} GB, and "
            f"{machine.disk_bytes / 1e9:.1f} GB are free for them. Make room, name another disk by "
            f"{FOLDER_VARIABLE}, or take smaller images"
        )
    # What an interrupted run has written is there already.
    free = free_bytes(folder) + sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    of_images = ""
    if (
        cached
        and existing_folder(folder).stat().st_dev == existing_folder(cache_folder()).stat().st_dev
    ):
        room += cached
        free += sum(entry.file_bytes for entry in list_cache())
        of_images = f" with {cached / 1e9:.1f} GB of decoded images"
    if room > free:
        yield (
            f"- disk: the chapters write about {room / 1e9:.1f} GB{of_images}, and {free / 1e9:.1f} GB "
            "are free. Make room, choose another folder (-o), or train fewer networks"
        )
