"""What would stop a chapter later on account of its network: nestings, BatchNorm, what it answers."""

from collections.abc import Iterator, Mapping
from typing import Any

from efn_compose.arch import ArchSpec, arch_spec
from efn_compose.donors.group_norm import needs_batch_norm
from efn_compose.errors import EfnComposeError
from efn_compose.jobs.pipeline.chapters import CHAPTER_VERBS, stand_ins, writers_before
from efn_compose.jobs.pipeline.story import Chapter, Story, as_reference
from efn_compose.jobs.pipeline.work import Counted
from efn_compose.jobs.predictions.networks import find_networks
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.nesting.plan import plan_nesting

#: Verbs that refuse weights with GroupNorm, and what the refusal calls their work.
_NEEDS_BATCH_NORM = {"pretrain": "a pretraining", "evolve": "a search", "nest": "nesting"}
#: Verbs whose weights answer as those that they read: the same classes, at the same size.
_KEEPS_ANSWERS = {"convert", "nest"}


def impossible_nestings(counted: Counted) -> Iterator[str]:
    """Yield each chapter whose network does not hold those it reads."""
    for chapter in counted.story.chapters:
        config = counted.configs[chapter.name]
        try:
            given = counted.given(chapter)
        except EfnComposeError:
            # An unknown network is named at the chapter that asks for it.
            continue
        targets: tuple[str, ...] = ()
        if chapter.verb == "nest":
            targets = (config.nest.into,)
        elif chapter.verb == "train":
            targets = config.weights.variants
        elif chapter.verb == "evolve":
            variants = dict.fromkeys(spec.variant for spec in given)
            if not config.donors.variant and len(variants) > 1:
                yield (
                    f"- {chapter.name}: donors.files are of different networks: {', '.join(variants)}. "
                    "Set donors.variant to the largest one"
                )
            targets = (config.donors.variant,) if config.donors.variant else ()
        for target in targets:
            for spec in dict.fromkeys(given):
                try:
                    if arch_spec(target).variant != spec.variant:
                        plan_nesting([spec], arch_spec(target))
                except EfnComposeError as error:
                    yield f"- {chapter.name}: {error}"


def impossible_answers(story: Story, configs: Mapping[str, Any]) -> Iterator[str]:
    """Yield each prediction by weights that no chapter trains, where they cannot answer."""
    for chapter in story.chapters:
        if chapter.verb != "predict":
            continue
        files = stand_ins(story, chapter)["predict.networks"]
        for entry, file in zip(chapter.settings["predict.networks"], files, strict=True):
            reference = as_reference(entry)
            if reference is None:
                continue
            writer = story[reference.chapter]
            if {one.verb for one in (writer, *writers_before(story, writer))} <= _KEEPS_ANSWERS:
                try:
                    find_networks([file], configs[chapter.name].predict.size)
                except EfnComposeError as error:
                    yield f"- {chapter.name}: predict.networks reads {reference}: {error}"


def wrong_normalisation(
    story: Story, configs: Mapping[str, Any], specs: Mapping[str, ArchSpec]
) -> Iterator[str]:
    """Yield each chapter that needs BatchNorm where its weights have, or will have, GroupNorm."""

    def has_group_norm(entry: str) -> bool:
        reference = as_reference(entry)
        if reference is None:
            return entry in specs and specs[entry].normalisation == "group"
        config = configs[reference.chapter]
        return (isinstance(config, TrainConfig) and config.train.has_group_norm) or any(
            map(has_group_norm, _weights_of(story[reference.chapter]))
        )

    for chapter in story.chapters:
        doing = _NEEDS_BATCH_NORM.get(chapter.verb, "")
        if isinstance(config := configs[chapter.name], TrainConfig) and config.train.advprop:
            doing = "advprop"
        if doing:
            for entry in filter(has_group_norm, _weights_of(chapter)):
                key = CHAPTER_VERBS[chapter.verb].start
                yield f"- {chapter.name}: {key}: {needs_batch_norm(entry, doing)}"


def _weights_of(chapter: Chapter) -> list[str]:
    """Return the weights that a chapter starts from: files, or references to other chapters."""
    value = chapter.settings.get(CHAPTER_VERBS[chapter.verb].start, [])
    return value if isinstance(value, list) else [value]
