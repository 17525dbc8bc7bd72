"""The verbs that a stage may be: their configuration, what they read and write, how they run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.evolve.run_config import RunConfig
from efn_compose.jobs.ensembles.options import EnsembleConfig
from efn_compose.jobs.pipeline.small_stages import ConvertStage, NestStage, PredictStage
from efn_compose.jobs.pipeline.story import Reference, Stage, Story, as_reference
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.trainings.options import TrainConfig

#: Kinds of products.
WEIGHTS, RUN, SUBMISSION, PLAN_B = "weights", "run", "submission", "plan_b"
#: Where the submission that is made first is made.
EARLY_FOLDER = "plan_b"
#: By verb, the setting whose images a submission is about.
ASKED = {"predict": "predict.source", "ensemble": "data.source"}
#: What each setting that takes files of others reads, the kind that a bare {stage} means first.
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
    """What a stage has come to.

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


#: Runs a stage: its settings as overrides, whether to go on with its run, whether to be quiet.
Runner = Callable[[Sequence[str], bool, bool], Ended]


@dataclass(frozen=True)
class StageVerb:
    """A verb that may be a stage.

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


def product_kind(stage: Stage, key: str, product: str) -> str:
    """Return which product of a stage a setting reads.

    Args:
        stage: The stage that writes.
        key: The setting that reads.
        product: As the reference names it; empty: the first kind that fits.

    Returns:
        The kind; empty if the stage writes none that the setting reads.
    """
    writes = STAGE_VERBS[stage.verb].writes
    wanted = READS.get(key, ())
    if product:
        return product if product in writes and product in wanted else ""
    return next((kind for kind in wanted if kind in writes), "")


def with_products(stage: Stage, find: Callable[[str, Reference], list[str]]) -> dict[str, Any]:
    """Return a stage's settings with files in place of references.

    Args:
        stage: The stage.
        find: Gives the files for a setting and the reference it holds.

    Example:
        >>> stage = Stage("many", "train", {"weights.file": "{magic}"})
        >>> with_products(stage, lambda key, found: [f"{found.stage}/magic.h5"])
        {'weights.file': 'magic/magic.h5'}
    """
    settings: dict[str, Any] = {}
    for key, value in stage.settings.items():
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
    headline = (
        f"{result.asked} network{'' if result.asked == 1 else 's'} answered, joined by the "
        f"{row.name.replace('_', ' ')}: {result.measure} {honest:.4f} ± {row.error:.4f} out of fold."
    )
    return Ended(headline, str(ended), products, result.asked == result.networks)


def _predict(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.config import load_config
    from efn_compose.jobs.predictions.job import predict

    config = load_config(None, overrides, PredictStage)
    options, folder = config.predict, Path(config.run.path)
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "predictions.csv"
    ended = predict(
        options.networks,
        options.source,
        table,
        tta=options.tta or None,
        submission=options.template,
    )
    count = len(ended.networks)
    words = f"{ended.images:,} images, {count} network{'' if count == 1 else 's'}"
    return Ended(words, words, {SUBMISSION: ended.submission or ended.table})


def _convert(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.config import load_config
    from efn_compose.jobs.search.preparation import load_entry

    config = load_config(None, overrides, ConvertStage)
    donor = load_entry(config.convert.file)
    path = Path(config.run.path) / f"{donor.spec.variant}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    donor.save(path)
    words = f"{donor.name} is a {donor.spec.variant}"
    return Ended(words, words, {WEIGHTS: path})


def _nest(overrides: Sequence[str], resume: bool, quiet: bool) -> Ended:
    from efn_compose.config import load_config
    from efn_compose.jobs.search.preparation import load_entry
    from efn_compose.nesting import nest

    config = load_config(None, overrides, NestStage)
    donor = load_entry(config.nest.file)
    larger = nest(donor, config.nest.into, fill=config.nest.fill, seed=config.run.seed)
    path = Path(config.run.path) / f"{larger.spec.variant}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    larger.save(path)
    words = f"{donor.spec.variant} in {larger.spec.variant}"
    return Ended(words, words, {WEIGHTS: path})


STAGE_VERBS: Mapping[str, StageVerb] = {
    "convert": StageVerb(ConvertStage, _convert, (WEIGHTS,), "convert.file", has_folder=False),
    "pretrain": StageVerb(PretrainConfig, _pretrain, (WEIGHTS,), "weights.file"),
    "evolve": StageVerb(RunConfig, _evolve, (WEIGHTS,), "donors.files"),
    "nest": StageVerb(NestStage, _nest, (WEIGHTS,), "nest.file", has_folder=False),
    "train": StageVerb(TrainConfig, _train, (RUN, WEIGHTS), "weights.file"),
    "ensemble": StageVerb(EnsembleConfig, _ensemble, (SUBMISSION, PLAN_B)),
    "predict": StageVerb(PredictStage, _predict, (SUBMISSION,), has_folder=False),
}
#: The configuration of each verb.
SCHEMAS: Mapping[str, type] = {verb: row.schema for verb, row in STAGE_VERBS.items()}


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


def writers_before(story: Story, stage: Stage) -> list[Stage]:
    """Return all stages whose products a stage reads, itself or through others."""
    found: dict[str, Stage] = {}
    for _, reference in stage.references:
        writer = story[reference.stage]
        found[writer.name] = writer
        found |= {ancestor.name: ancestor for ancestor in writers_before(story, writer)}
    return list(found.values())


def unread_stages(story: Story) -> list[str]:
    """Return a sentence for each stage that no submission is made with, where the story has one."""
    submissions = [s for s in story.stages if SUBMISSION in STAGE_VERBS[s.verb].writes]
    used = {one.name for last in submissions for one in (last, *writers_before(story, last))}
    return [
        f"No submission is made with what {stage.name} writes."
        for stage in story.stages
        if submissions and stage.name not in used
    ]


def submitting_stage(story: Story) -> Stage | None:
    """Return the last stage that writes a submission, None without one."""
    found = [s for s in story.stages if SUBMISSION in STAGE_VERBS[s.verb].writes]
    return found[-1] if found else None


def first_training(story: Story) -> Stage | None:
    """Return the first training that a submission is made of, None without one."""
    last = submitting_stage(story)
    before = [] if last is None else writers_before(story, last)
    return next((stage for stage in before if stage.verb == "train"), None)
