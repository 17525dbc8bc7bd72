"""The verbs that a chapter may be: their configuration, what they read and write, how they run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.analysis.reading.figures import count
from efn_compose.evolve.run_config import RunConfig
from efn_compose.jobs.ensembles.options import EnsembleConfig
from efn_compose.jobs.pipeline.small_chapters import ConvertChapter, NestChapter, PredictChapter
from efn_compose.jobs.pipeline.story import Chapter, Reference, Story, as_reference
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.trainings.options import TrainConfig

#: Kinds of products.
WEIGHTS, RUN, SUBMISSION, PLAN_B = "weights", "run", "submission", "plan_b"
#: Where the submission that is made first is made.
EARLY_FOLDER = "plan_b"
#: By verb, the setting whose images a submission is about.
ASKED = {"predict": "predict.source", "ensemble": "data.source"}
#: What each setting that takes files of others reads, the kind that a bare {chapter} means first.
READS: Mapping[str, tuple[str, ...]] = {
    "convert.file": (WEIGHTS,),
    "nest.file": (WEIGHTS,),
    "weights.file": (WEIGHTS,),
    "donors.files": (WEIGHTS,),
    "ensemble.runs": (RUN,),
    "predict.networks": (RUN, WEIGHTS),
}


@dataclass(frozen=True)
class Ended:
    """What a chapter has come to.

    Args:
        headline: In one line.
        words: All that it says of itself.
        products: Its files or folders by kind.
        is_whole: Whether nothing is left to do; a submission may have been cut short.
    """

    headline: str
    words: str
    products: Mapping[str, Path]
    is_whole: bool = True


#: Runs a chapter: its settings as overrides, whether to go on with its run, whether to be quiet.
Runner = Callable[[Sequence[str], bool, bool], Ended]


@dataclass(frozen=True)
class ChapterVerb:
    """A verb that may be a chapter.

    Args:
        schema: Its configuration.
        run: Runs it.
        writes: Kinds of its products.
        start: The setting whose value stands for its weights as long as there are none.
        has_folder: Whether the verb keeps a run folder with a journal and resumes by itself.
    """

    schema: type
    run: Runner
    writes: tuple[str, ...]
    start: str = ""
    has_folder: bool = True


def overrides_of(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as `--set` takes them.

    Example:
        >>> overrides_of({"data.size": 32, "donors.files": ["a.h5"], "run.path": "x"})
        ['data.size=32', 'donors.files=["a.h5"]', 'run.path=x']
    """
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in settings.items()
    ]


def product_kind(chapter: Chapter, key: str, product: str) -> str:
    """Return which product of a chapter a setting reads.

    Args:
        chapter: The chapter that writes.
        key: The setting that reads.
        product: As the reference names it; empty: the first kind that fits.

    Returns:
        The kind; empty if the chapter writes none that the setting reads.
    """
    writes = CHAPTER_VERBS[chapter.verb].writes
    wanted = READS.get(key, ())
    if product:
        return product if product in writes and product in wanted else ""
    return next((kind for kind in wanted if kind in writes), "")


def with_products(chapter: Chapter, find: Callable[[str, Reference], list[str]]) -> dict[str, Any]:
    """Return a chapter's settings with files in place of references.

    Args:
        chapter: The chapter.
        find: Gives the files for a setting and the reference it holds.

    Example:
        >>> chapter = Chapter("many", "train", {"weights.file": "{magic}"})
        >>> with_products(chapter, lambda key, found: [f"{found.chapter}/magic.h5"])
        {'weights.file': 'magic/magic.h5'}
    """
    settings: dict[str, Any] = {}
    for key, value in chapter.settings.items():
        words = value if isinstance(value, list) else [value]
        files: list[Any] = []
        for word in words:
            reference = as_reference(word)
            files += [word] if reference is None else find(key, reference)
        settings[key] = files if isinstance(value, list) else files[0]
    return settings


def _scores(means: Mapping[str, float], errors: Mapping[str, float | None]) -> list[str]:
    return [
        f"{name} {mean:.4f}" + ("" if (error := errors.get(name)) is None else f" ± {error:.4f}")
        for name, mean in means.items()
    ]


def _evolve(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.jobs.search.job import evolve

    ended = evolve(None, overrides, resume=resume, quiet=quiet)
    return Ended(f"{ended.winner} is written", ended.verdict, {WEIGHTS: ended.weights})


def _pretrain(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.jobs.pretraining.job import pretrain

    ended = pretrain(None, overrides, resume=resume, quiet=quiet)
    ahead = [verdict.name for verdict in ended.verdicts if verdict.is_ahead]
    headline = f"ahead of the absorbed donor: {', '.join(ahead)}" if ahead else "not ahead"
    headline = headline if ended.verdicts else "not judged: no labelled images"
    return Ended(headline, str(ended), {WEIGHTS: ended.weights})


def _train(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.jobs.trainings.job import train

    ended = train(None, overrides, resume=resume, quiet=quiet)
    best = ended.leaderboard[0]
    headline = f"{best.variant}: {', '.join(_scores(best.means, best.errors))}"
    return Ended(headline, str(ended), {RUN: ended.folder, WEIGHTS: ended.weights})


def _ensemble(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.jobs.ensembles.job import ensemble

    ended = ensemble(None, overrides, resume=resume)
    result, products = ended.result, {SUBMISSION: ended.submission, PLAN_B: ended.plan_b}
    row = next(row for row in result.methods if row.name == result.verdict.winner)
    # Of a loss all scores are negative; people know it as it is.
    honest = -row.honest if result.measure == "loss" else row.honest
    asked = f"{result.asked} of " if result.asked < result.networks else ""
    headline = (
        f"{asked}{count(result.networks, 'network')} answered, joined by the "
        f"{row.name.replace('_', ' ')}: {result.measure} {honest:.4f} ± {row.error:.4f} out of fold."
    )
    is_whole = result.asked == result.networks and not (result.stack or {}).get("not_fitted")
    return Ended(headline, str(ended), products, is_whole)


def _predict(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.config import load_config
    from efn_compose.jobs.predictions.job import predict

    config = load_config(None, overrides, PredictChapter)
    options, folder = config.predict, Path(config.run.path)
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "predictions.csv"
    ended = predict(
        options.networks,
        options.source,
        table,
        columns=options.columns,
        folder=options.folder,
        size=options.size,
        tta=options.tta or None,
        submission=options.template,
    )
    words = f"{ended.images:,} images, {count(len(ended.networks), 'network')}"
    return Ended(words, words, {SUBMISSION: ended.submission or ended.table})


def _convert(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.config import load_config
    from efn_compose.jobs.donor_entries import load_entry

    config = load_config(None, overrides, ConvertChapter)
    donor = load_entry(config.convert.file)
    path = Path(config.run.path) / f"{donor.spec.variant}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    donor.save(path)
    words = f"{donor.name} is a {donor.spec.variant}"
    return Ended(words, words, {WEIGHTS: path})


def _nest(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.config import load_config
    from efn_compose.jobs.donor_entries import load_entry
    from efn_compose.nesting import nest

    config = load_config(None, overrides, NestChapter)
    donor = load_entry(config.nest.file)
    larger = nest(donor, config.nest.into, fill=config.nest.fill, seed=config.run.seed)
    path = Path(config.run.path) / f"{larger.spec.variant}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    larger.save(path)
    words = f"{donor.spec.variant} in {larger.spec.variant}"
    return Ended(words, words, {WEIGHTS: path})


CHAPTER_VERBS: Mapping[str, ChapterVerb] = {
    "convert": ChapterVerb(ConvertChapter, _convert, (WEIGHTS,), "convert.file", has_folder=False),
    "pretrain": ChapterVerb(PretrainConfig, _pretrain, (WEIGHTS,), "weights.file"),
    "evolve": ChapterVerb(RunConfig, _evolve, (WEIGHTS,), "donors.files"),
    "nest": ChapterVerb(NestChapter, _nest, (WEIGHTS,), "nest.file", has_folder=False),
    "train": ChapterVerb(TrainConfig, _train, (RUN, WEIGHTS), "weights.file"),
    "ensemble": ChapterVerb(EnsembleConfig, _ensemble, (SUBMISSION, PLAN_B)),
    "predict": ChapterVerb(PredictChapter, _predict, (SUBMISSION,), has_folder=False),
}
#: The configuration of each verb.
SCHEMAS: Mapping[str, type] = {verb: row.schema for verb, row in CHAPTER_VERBS.items()}


def stand_ins(story: Story, chapter: Chapter) -> dict[str, Any]:
    """Return a chapter's settings with starting weights in place of weights to come.

    What a chapter makes of weights is weights of the same kind. A check before the first chapter, and a
    submission that cannot wait for all of them, therefore go back to where the weights come from.
    """
    return with_products(chapter, lambda key, found: _start(story, found))


def _start(story: Story, found: Reference) -> list[str]:
    writer = story[found.chapter]
    start = CHAPTER_VERBS[writer.verb].start
    value = stand_ins(story, writer).get(start) if start else None
    if value is None:
        return [str(found)]
    return [value[0] if isinstance(value, list) else value]


def writers_before(story: Story, chapter: Chapter) -> list[Chapter]:
    """Return all chapters whose products a chapter reads, itself or through others."""
    found: dict[str, Chapter] = {}
    for _, reference in chapter.references:
        writer = story[reference.chapter]
        found[writer.name] = writer
        found |= {ancestor.name: ancestor for ancestor in writers_before(story, writer)}
    return list(found.values())


def unread_chapters(story: Story) -> list[str]:
    """Return a sentence for each chapter that no submission is made with, where the story has one."""
    submissions = [s for s in story.chapters if SUBMISSION in CHAPTER_VERBS[s.verb].writes]
    used = {one.name for last in submissions for one in (last, *writers_before(story, last))}
    return [
        f"No submission is made with what {chapter.name} writes."
        for chapter in story.chapters
        if submissions and chapter.name not in used
    ]


def submitting_chapter(story: Story) -> Chapter | None:
    """Return the last chapter that writes a submission, None without one."""
    found = [s for s in story.chapters if SUBMISSION in CHAPTER_VERBS[s.verb].writes]
    return found[-1] if found else None


def first_training(story: Story) -> Chapter | None:
    """Return the first training that a submission is made of, None without one."""
    last = submitting_chapter(story)
    before = [] if last is None else writers_before(story, last)
    return next((chapter for chapter in before if chapter.verb == "train"), None)
