"""What each chapter has to do, counted before anything runs: passes of images, bytes, workers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from efn_compose.arch import ArchSpec, arch_spec
from efn_compose.arch.cost import cost
from efn_compose.errors import ConfigError
from efn_compose.evolve.run_config import RunConfig
from efn_compose.jobs.memory_plan import Demand, Machine, MemoryPlan
from efn_compose.jobs.pipeline.chapters import (
    ASKED,
    CHAPTER_VERBS,
    READS,
    RUN,
    first_training,
    product_kind,
    stand_ins,
    submitting_chapter,
)
from efn_compose.jobs.pipeline.story import Chapter, Story, as_reference
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.search.evaluation_length import enough_epochs
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.train.selfsup.options import TWO_VIEWS

#: A network's file, its state with two moments per weight, and room for one more file.
_FILES_PER_TRAINING = 4
#: Members and averages that a search keeps.
_KEPT_BY_SEARCH = 8


@dataclass(frozen=True)
class Load:
    """Images that one network sees in a chapter.

    Args:
        spec: The network.
        size: Height and width of the images in pixels.
        updates: Images that pass with gradients, each time counted, all workers together.
        passes: Images that pass without.
        workers: Workers that share them, one thread each; 0: this process with all its threads.
        builds: How often the network is built and traced, one after the other.
    """

    spec: ArchSpec
    size: int
    updates: float = 0.0
    passes: float = 0.0
    workers: int = 0
    builds: int = 1


@dataclass(frozen=True)
class Work:
    """What a chapter has to do.

    Args:
        loads: What networks have to see.
        disk_bytes: What it writes, about.
        memory: Its plan of memory; None where it takes next to none.
        hours: Of its own budget; 0: there is none.
        device: What it runs on.
    """

    loads: tuple[Load, ...] = ()
    disk_bytes: int = 0
    memory: MemoryPlan | None = None
    hours: float = 0.0
    device: str = "cpu"


@dataclass(frozen=True)
class Counted:
    """What the work is counted from.

    Args:
        story: The story.
        configs: Of each chapter, by its name.
        specs: The network of each weight file, by its entry.
        images: Images of a source, by "chapter section.key".
        machine: Where it will run.
    """

    story: Story
    configs: Mapping[str, Any]
    specs: Mapping[str, ArchSpec]
    images: Mapping[str, int]
    machine: Machine

    def networks(self, chapter: Chapter) -> list[ArchSpec]:
        """Return the networks that a chapter works with, the first one first."""
        config = self.configs[chapter.name]
        if chapter.verb == "train" and config.weights.variants:
            return [arch_spec(name) for name in config.weights.variants]
        if chapter.verb == "evolve" and config.donors.variant:
            return [arch_spec(config.donors.variant)]
        if chapter.verb == "nest":
            return [arch_spec(config.nest.into)]
        return self.given(chapter)[:1]

    def given(self, chapter: Chapter) -> list[ArchSpec]:
        """Return the networks whose weights a chapter starts with."""
        value = chapter.settings.get(CHAPTER_VERBS[chapter.verb].start)
        found = []
        for entry in value if isinstance(value, list) else [value]:
            reference = as_reference(entry)
            if reference is not None:
                found += self.networks(self.story[reference.chapter])[:1]
            elif isinstance(entry, str) and entry in self.specs:
                found.append(self.specs[entry])
        return found

    def work(self, chapter: Chapter) -> Work:
        """Return what a chapter has to do.

        Raises:
            ConfigError: It does not fit into the machine's memory.
        """
        return _COUNT.get(chapter.verb, _nothing)(self, chapter)

    def early(self) -> Work | None:
        """Return the work of the first submission, plan B: one epoch of the first training's network."""
        trained, last = first_training(self.story), submitting_chapter(self.story)
        if trained is None or last is None:
            return None
        config: TrainConfig = self.configs[trained.name]
        entry = stand_ins(self.story, trained)["weights.file"]
        spec, size = self.specs[entry], config.data.size
        images = self.images[f"{trained.name} data.source"]
        images = min(images, config.data.images or images)
        asked = self.images[f"{last.name} {ASKED[last.verb]}"]
        load = Load(spec, size, 0.8 * images, images + asked, builds=2)
        demand = _demand(config, spec, config.train.batch_size, size, images, 1)
        return Work((load,), _FILES_PER_TRAINING * _file_bytes(spec), device=demand.device)

    def asked(self, chapter: Chapter) -> list[tuple[ArchSpec, int, int]]:
        """Return the networks that a chapter asks: each with its size and how many there are."""
        found: list[tuple[ArchSpec, int, int]] = []
        for key, reference in chapter.references:
            writer = self.story[reference.chapter]
            config = self.configs[writer.name]
            if key not in READS or not isinstance(config, TrainConfig):
                continue
            validation = config.validation
            is_run = product_kind(writer, key, reference.product) == RUN
            count = validation.folds * validation.seeds if is_run else 1
            networks = self.networks(writer)
            found += [(s, config.data.size, count) for s in (networks if is_run else networks[:1])]
        return found


def _nothing(counted: Counted, chapter: Chapter) -> Work:
    """Count a chapter that only reads and writes files."""
    return Work((), sum(_file_bytes(spec) for spec in counted.networks(chapter)))


def _train(counted: Counted, chapter: Chapter) -> Work:
    config: TrainConfig = counted.configs[chapter.name]
    validation, networks = config.validation, counted.networks(chapter)
    images = counted.images[f"{chapter.name} data.source"]
    images = min(images, config.data.images or images)
    each = validation.folds * validation.seeds
    learnt = images * (1 - 1 / validation.cut)
    scored = images / validation.cut + min(learnt, config.train.statistics_images)
    epochs = config.train.all_epochs
    demands = [
        _demand(config, spec, config.train.batch_size, config.data.size, images, len(networks))
        for spec in networks
    ]
    loads = [
        Load(
            spec,
            config.data.size,
            each * epochs * learnt,
            each * epochs * scored,
            _workers(demand, each * len(networks)),
        )
        for spec, demand in zip(networks, demands, strict=True)
    ]
    largest = max(demands, key=lambda d: cost(d.spec, d.size).activations)
    bytes_each = _FILES_PER_TRAINING * sum(_file_bytes(spec) for spec in networks)
    return Work(
        tuple(loads),
        bytes_each * each,
        _plan(counted, chapter, largest, each * len(networks), "train.batch_size"),
        device=largest.device,
    )


def _pretrain(counted: Counted, chapter: Chapter) -> Work:
    config: PretrainConfig = counted.configs[chapter.name]
    options, size = config.pretrain, config.unlabelled.size
    images = counted.images[f"{chapter.name} unlabelled.source"]
    images = min(images, config.unlabelled.images or images)
    cells = len(options.methods) * options.seeds
    views = sum(2 if name in TWO_VIEWS else 1 for name in options.methods) * options.seeds
    (spec,) = counted.networks(chapter)
    demand = _demand(config, spec, 2 * options.batch_size, size, images, 1)
    loads = [Load(spec, size, views * options.epochs * images, workers=_workers(demand, cells))]
    if judged := counted.images.get(f"{chapter.name} labelled.source", 0):
        judged = min(judged, config.labelled.images or judged)
        trainings = (cells + 1) * config.labelled.seeds * config.labelled.epochs
        loads.append(Load(spec, size, trainings * judged / 2, trainings * judged, loads[0].workers))
    return Work(
        tuple(loads),
        _FILES_PER_TRAINING * _file_bytes(spec) * cells,
        _plan(counted, chapter, demand, cells, "pretrain.batch_size"),
        device=demand.device,
    )


def _evolve(counted: Counted, chapter: Chapter) -> Work:
    config: RunConfig = counted.configs[chapter.name]
    data, fitness = config.data, config.fitness
    images = counted.images[f"{chapter.name} data.source"]
    learnt = data.train_images or round(0.6 * images)
    scored = (data.validation_images or round(0.2 * images)) + min(learnt, data.statistics_images)
    donors = len(config.donors.files) * (1 + config.donors.siblings)
    (spec,) = counted.networks(chapter)
    demand = _demand(config, spec, fitness.batch_size, data.size, images, donors)
    workers = _workers(demand, donors)
    plan = config.kind.plan(config.finals, donors, workers or 1, config.budget)
    tasks = (plan.rounds + plan.rounds_of_rest) * (workers or 1)
    epochs = enough_epochs(config, learnt) if fitness.epochs == "auto" else fitness.epochs
    load = Load(spec, data.size, tasks * epochs * learnt, tasks * scored, workers)
    return Work(
        (load,),
        _FILES_PER_TRAINING * _file_bytes(spec) * _KEPT_BY_SEARCH,
        _plan(counted, chapter, demand, demand.workers, "fitness.batch_size"),
        config.budget.hours,
        demand.device,
    )


def _ask(counted: Counted, chapter: Chapter) -> Work:
    images = counted.images[f"{chapter.name} {ASKED[chapter.verb]}"]
    views = max(1, getattr(counted.configs[chapter.name], chapter.verb).tta)
    return Work(
        tuple(
            # Networks of one kind are built once, and take turns in it.
            Load(spec, size, 0, views * images * count)
            for spec, size, count in counted.asked(chapter)
        )
    )


_COUNT: Mapping[str, Callable[[Counted, Chapter], Work]] = {
    "train": _train,
    "pretrain": _pretrain,
    "evolve": _evolve,
    "ensemble": _ask,
    "predict": _ask,
}


def _file_bytes(spec: ArchSpec) -> int:
    return 4 * cost(spec, 32).parameters


def _demand(
    config: Any, spec: ArchSpec, batch: int, size: int, images: int, networks: int
) -> Demand:
    return Demand.of(spec, batch, size, images, networks, config.executor)


def _workers(demand: Demand, tasks: int) -> int:
    return min(demand.workers, tasks) if demand.in_ray else 0


def _plan(
    counted: Counted, chapter: Chapter, demand: Demand, tasks: int, batch_setting: str
) -> MemoryPlan:
    demand = replace(demand, workers=min(demand.workers, max(1, tasks)))
    plan = MemoryPlan(demand, counted.machine)
    if counted.configs[chapter.name].executor.address:
        return plan
    try:
        return plan.check(batch_setting)
    except ConfigError as error:
        raise ConfigError(f"{chapter.name}: {error}") from None
