"""What each verb would refuse when its chapter begins: settings, files that they name, and what it reads."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from efn_compose.data.folding.fold_table import read_fold_table
from efn_compose.data.table import ImageTable
from efn_compose.errors import ConfigError, EfnComposeError
from efn_compose.evolve.run_config import RunConfig
from efn_compose.jobs.ensembles import preparation as ensembles
from efn_compose.jobs.ensembles.columns import read_members
from efn_compose.jobs.ensembles.options import EnsembleConfig
from efn_compose.jobs.pipeline.chapters import ASKED, READS
from efn_compose.jobs.pipeline.checks.images import Tables, read_source
from efn_compose.jobs.pipeline.small_chapters import PredictChapter
from efn_compose.jobs.pipeline.story import Chapter, Story, as_reference
from efn_compose.jobs.predictions.networks import find_networks
from efn_compose.jobs.predictions.submission import read_rows, read_template
from efn_compose.jobs.pretraining import images as pretraining_images
from efn_compose.jobs.pretraining import preparation as pretrainings
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.pretraining.pair import find_pair
from efn_compose.jobs.search import preparation as searches
from efn_compose.jobs.trainings import purpose as trainings
from efn_compose.jobs.trainings.images import require_unlabelled
from efn_compose.jobs.trainings.options import TrainConfig

#: Verbs whose weights have no classifier.
_HEADLESS = ("evolve", "pretrain")


def wrong_settings(story: Story, configs: Mapping[str, Any], tables: Tables) -> Iterator[str]:
    """Yield what a verb would refuse when its chapter begins, each refusal once.

    Args:
        story: The story.
        configs: Configuration of each chapter, by its name.
        tables: Images or what is wrong with them, by "chapter section.key".
    """
    for chapter in story.chapters:
        looks = (*_LOOKS.get(chapter.verb, ()), *(_ANSWERS if chapter.verb in ASKED else ()))
        for look in looks:
            try:
                look(story, chapter, configs, tables)
            except EfnComposeError as error:
                yield f"- {chapter.name}: {error}"


def _search(story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables) -> None:
    config: RunConfig = configs[chapter.name]
    searches.check_settings(config)


def _recipe(story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables) -> None:
    config: TrainConfig = configs[chapter.name]
    table = tables.get(f"{chapter.name} data.source")
    if isinstance(table, ImageTable):
        trainings.check_settings(config, len(table.class_names))


def _fold_file(story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables) -> None:
    config: TrainConfig = configs[chapter.name]
    table = tables.get(f"{chapter.name} data.source")
    is_whole = not (config.data.images or config.data.unreadable_share)
    if config.validation.file and is_whole and isinstance(table, ImageTable):
        read_fold_table(table, config.validation.file)


def _further_images(
    story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables
) -> None:
    config: TrainConfig = configs[chapter.name]
    require_unlabelled(config.semi)
    if config.semi.method == "none":
        return
    found = read_source(config.semi.unlabelled)
    if isinstance(found, str):
        raise ConfigError(f"semi.unlabelled: {found}")


def _pretraining(
    story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables
) -> None:
    config: PretrainConfig = configs[chapter.name]
    table = tables.get(f"{chapter.name} unlabelled.source")
    if isinstance(table, ImageTable):
        pretraining_images.check_table(config, table)
        count = len(table)
        pretrainings.check_count(config, min(count, config.unlabelled.images or count))
        if config.pretrain.cyclegan and not config.unlabelled.images:
            find_pair(table, config, 0)
    known = tables.get(f"{chapter.name} labelled.source")
    if config.labelled.folds and isinstance(known, ImageTable):
        read_fold_table(known, config.labelled.folds)


def _ensemble(story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables) -> None:
    config: EnsembleConfig = configs[chapter.name]
    ensembles.check_settings(config)
    if runs := _there(chapter, "ensemble.runs"):
        read_members(runs)


def _networks(story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables) -> None:
    if entries := _there(chapter, "predict.networks"):
        find_networks(entries, configs[chapter.name].predict.size)


def _read(story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables) -> None:
    """Refuse networks that give no probabilities of classes."""
    for key, found in chapter.references:
        if key not in READS:
            continue
        writer, config = story[found.chapter], configs[found.chapter]
        if writer.verb in _HEADLESS:
            is_trained = isinstance(config, RunConfig) and config.kind.trains_on
            what = (
                "may have no classifier, if a donor is written"
                if is_trained
                else "have no classifier"
            )
            raise ConfigError(
                f"{key} reads {found}, whose weights {what}. Train them in a chapter between the two."
            )
        if not isinstance(config, TrainConfig):
            continue
        if config.objective.kind != "classify":
            raise ConfigError(
                f"{key} reads {found}, which learns masks ({writer.name}.objective.kind = "
                f"{config.objective.kind!r}). A chapter answers with trainings that tell classes apart."
            )
        asked = configs[chapter.name]
        has_views = isinstance(asked, PredictChapter) and asked.predict.tta
        if config.tta.merge == "rank" and not has_views:
            raise ConfigError(
                f"{key} reads {found}, whose answers are ranks ({writer.name}.tta.merge = 'rank') and no "
                "probabilities. Set it to 'mean' or 'median'."
            )


def _template(story: Story, chapter: Chapter, configs: Mapping[str, Any], tables: Tables) -> None:
    """Refuse a template that does not fit the images and the classes, as far as they are known."""
    asked = getattr(configs[chapter.name], chapter.verb)
    if not asked.template:
        return
    path = Path(asked.template)
    images = tables.get(f"{chapter.name} {ASKED[chapter.verb]}")
    learnt = [tables.get(f"{found.chapter} data.source") for _, found in chapter.references]
    known = next((table for table in learnt if isinstance(table, ImageTable)), None)
    if isinstance(images, ImageTable) and known is not None:
        names = [images.image_name(number) for number in range(len(images))]
        read_template(path, names, known.class_names)
    else:
        read_rows(path, "a header, a column of ids, a column to fill, and rows")


def _there(chapter: Chapter, key: str) -> list[str]:
    """Return what a setting names beside products of other chapters."""
    value = chapter.settings.get(key, [])
    words = value if isinstance(value, list) else [value]
    return [word for word in words if as_reference(word) is None]


Look = Callable[[Story, Chapter, Mapping[str, Any], Tables], None]
#: By verb, what is looked at; each raises what the verb would raise.
_LOOKS: Mapping[str, tuple[Look, ...]] = {
    "evolve": (_search,),
    "train": (_recipe, _fold_file, _further_images),
    "pretrain": (_pretraining,),
    "ensemble": (_ensemble,),
    "predict": (_networks,),
}
#: Of verbs that make a submission.
_ANSWERS: tuple[Look, ...] = (_read, _template)
