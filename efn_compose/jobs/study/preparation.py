"""Everything of a study checked and loaded before anything is written."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.arch import variant_name
from efn_compose.config import dump_toml, load_config
from efn_compose.data import ImageTable, load_table
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, describe_problems
from efn_compose.jobs.donor_entries import load_donors
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.jobs.study.cells import FreeScores, StudyCell
from efn_compose.jobs.study.kinds import fill_axes
from efn_compose.jobs.study.named import find_function
from efn_compose.jobs.study.options import StudyConfig
from efn_compose.jobs.study.pacing.budget import check_budget, equal_multiply_adds, equal_seconds
from efn_compose.jobs.study.pacing.paces import Measured, PaceGroup, StudyPace, pace_groups
from efn_compose.jobs.study.plans import Plan, axes_of, make_plans
from efn_compose.jobs.study.points import Axis, choose_points
from efn_compose.jobs.trainings.images import PreparedImages, prepare_images
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.store.study_files import DATA_AXIS

STORED = StoredConfig(StudyConfig, free=("run", "executor"))
#: Sections whose settings may be axes.
_FACTOR_SECTIONS = ("train", "augment")


@dataclass(frozen=True)
class PreparedStudy:
    """A study that can begin.

    Args:
        config: With the axes of its kind filled in.
        donors: By name, without classifiers.
        axes: All axes, also those of one level.
        points: Level numbers, one per axis.
        plans: One per point.
        images: By data set and size.
        folder: The run folder.
        has_epochs: Whether it is known how many epochs each point gets.
    """

    config: StudyConfig
    donors: dict[str, Donor]
    axes: list[Axis]
    points: list[tuple[int, ...]]
    plans: list[Plan]
    images: dict[tuple[str, int], PreparedImages]
    folder: Path
    has_epochs: bool = True

    @property
    def groups(self) -> list[PaceGroup]:
        """The points whose pace is measured together, where all trainings take equal seconds."""
        return pace_groups(self.plans, self.donors)

    def with_paces(self, measured: Measured) -> "PreparedStudy":
        """Return the study with the epochs that equal seconds give each point.

        Args:
            measured: A pace for every group, or why there is none.

        Raises:
            ConfigError: Workers have devices of which processor seconds say different things.
        """
        clocks = {pace.clock for pace in measured.values() if isinstance(pace, StudyPace)}
        if len(clocks) > 1:
            raise ConfigError(
                "study.equal = 'seconds': some workers have accelerators and some have none, so their "
                "seconds cannot be compared. Set executor.device = 'cpu', 'gpu' or 'tpu'."
            )
        plans = list(self.plans)
        paces: list[StudyPace | None] = [None for _ in plans]
        for place, group in enumerate(self.groups):
            pace = measured[place]
            for point in group.points:
                if isinstance(pace, StudyPace):
                    paces[point] = pace
                else:
                    problem = f"Its pace could not be measured: {pace}"
                    plans[point] = dataclasses.replace(plans[point], problem=problem)
        images = {key: self.image_counts(*key) for key in self.images}
        plans = equal_seconds(plans, paces, images)
        return dataclasses.replace(self, plans=plans, has_epochs=True)

    def image_counts(self, source: str, side: int) -> tuple[int, int]:
        """Return the images that train and those that validate, of the first fold.

        Args:
            source: The data set.
            side: Image size in pixels.
        """
        fold = self.images[source, side].folded.fold
        validation = int((fold == 0).sum())
        return len(fold) - validation, validation

    @property
    def data_sets(self) -> int:
        """Number of data sets."""
        return next(len(axis.levels) for axis in self.axes if axis.name == DATA_AXIS)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Fold and seed of every training of a point."""
        first, options = self.config.run.seed, self.config.validation
        return [
            (fold, seed)
            for fold in range(options.folds)
            for seed in range(first, first + options.seeds)
        ]

    @property
    def cells(self) -> list[StudyCell]:
        """All trainings; those of one network follow each other."""
        return [
            StudyCell(number, fold, seed)
            for number in range(len(self.points))
            for fold, seed in self.blocks
        ]

    @property
    def free(self) -> list[FreeScores]:
        """Scores of donors that need no training, where the kind of study wants them."""
        if self.config.study.kind != "backbones":
            return []
        first: dict[tuple[str, str, int], int] = {}
        for number, plan in enumerate(self.plans):
            if plan.start == "donor" and not plan.problem and not plan.function:
                first.setdefault((plan.weights, plan.source, plan.side), number)
        folds = range(self.config.validation.folds)
        return [FreeScores(number, fold) for number in first.values() for fold in folds]

    @property
    def warnings(self) -> list[str]:
        """Sentences about the images, each once: a source of several sizes is read several times."""
        donors, folds = list(self.donors.values()), self.config.validation.folds
        sentences = [
            words
            for images in self.images.values()
            for words in (*images.warnings(), *images.doubts(donors, folds))
        ]
        return list(dict.fromkeys(sentences))

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of all that decides the results."""
        donors = "".join(donor.fingerprint for donor in self.donors.values())
        data = "".join(images.folded.fingerprint for images in self.images.values())
        return {
            "config": STORED.hash(dump_toml(self.config)),
            "seed": str(self.config.run.seed),
            "donors": hashlib.sha256(donors.encode()).hexdigest(),
            "data": hashlib.sha256(data.encode()).hexdigest(),
        }

    def describe(self) -> dict[str, Any]:
        """Return the design as `study.json` keeps it for the report."""
        metric = self.metric
        classes = {
            source: len(images.folded.class_names) for (source, _), images in self.images.items()
        }
        return {
            "kind": self.config.study.kind,
            "equal": self.config.study.equal,
            "metric": metric,
            "lower_is_better": metric == "loss",
            "axes": [{"name": axis.name, "levels": list(axis.levels)} for axis in self.axes],
            "points": [
                {"levels": list(levels), **plan.to_json(classes[plan.source])}
                | ({} if self.has_epochs else {"epochs": None})
                for levels, plan in zip(self.points, self.plans, strict=True)
            ],
            "blocks": [{"fold": fold, "seed": seed} for fold, seed in self.blocks],
            "images": {source: len(images.table) for (source, _), images in self.images.items()},
        }

    @property
    def metric(self) -> str:
        """The score that points are compared by."""
        config = self.config
        return "auc" if config.data.metric == "auc" else config.train.monitor


def prepare_study(
    config_path: str | os.PathLike[str] | None,
    overrides: Sequence[str] = (),
    *,
    show_progress: bool = True,
    resume: bool | None = None,
) -> PreparedStudy:
    """Load and check configuration, donors and images; writes nothing.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        show_progress: Draw the progress of reading images.
        resume: Whether the run folder has a run to go on with, or else none; None does not look.

    Raises:
        EfnComposeError: Anything that would stop the study later, or every training of it.
    """
    config = load_config(config_path, overrides, StudyConfig)
    folder = config.run.folder(config_path, "study")
    STORED.check_place(folder, config, resume)
    if not config.study.weights:
        raise ConfigError(
            "study.weights is empty. Name one donor or several: weight files of any library, or "
            "package:NAME."
        )
    if config.study.sources and config.data.source:
        raise ConfigError("data.source and study.sources exclude each other; give one of them.")
    for network in config.study.networks:
        if ":" in network:
            find_function(network)
        else:
            variant_name(network)
    donors = _load_donors(config.study.weights)
    # Found out at once; the plans below import what trains.
    tables = {
        source: load_table(source, config.data.columns, config.data.folder)
        for source in config.study.sources or (config.data.source,)
        if source
    }
    study = fill_axes(config.study, donors, config.data.size)
    config = dataclasses.replace(config, study=study)
    factors = _factors(study.factors, config_path, overrides)
    axes = axes_of(config, donors, factors)
    points = choose_points(axes, study, config.run.seed)
    plans = make_plans(config, donors, axes, points)
    if any(plan.train.keep == "best" for plan in plans):
        raise ConfigError(
            "train.keep = 'best' scores the epoch that was best on the images that judge, which flatters "
            "a combination the more, the more epochs it has. A study compares: set train.keep = 'last'."
        )
    check_budget(study, [axis.name for axis in axes if len(axis.levels) > 1], plans)
    if study.equal == "multiply-adds":
        plans = equal_multiply_adds(plans)
    if all(plan.problem for plan in plans):
        reasons = sorted({plan.problem for plan in plans})
        raise ConfigError(describe_problems("No training of this study is possible.", reasons))
    images = {}
    for source, side in sorted({(plan.source, plan.side) for plan in plans}):
        images[source, side] = _images(config, source, side, tables.get(source), show_progress)
    has_epochs = study.equal != "seconds"
    return PreparedStudy(config, donors, axes, points, plans, images, folder, has_epochs)


def _load_donors(files: Sequence[str]) -> dict[str, Donor]:
    donors: dict[str, Donor] = {}
    for number, file in enumerate(files):
        if file in files[:number]:
            raise ConfigError(f"study.weights names {file} twice.")
        donor = load_donors([file])[0].without_head()
        donor.refuse_parts("a study")
        donors[donor.name if donor.name not in donors else file] = donor
    return donors


def _factors(
    texts: Sequence[str], config_path: str | os.PathLike[str] | None, overrides: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the levels of all axes by name; none may be named twice."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, levels = _factor(text, config_path, overrides)
        if name in found:
            raise ConfigError(
                f"study.factors names {name} twice. Write all of its levels together: "
                f'"{name}=A|B|C". Received: {text!r}.'
            )
        found[name] = levels
    return found


def _factor(
    text: str, config_path: str | os.PathLike[str] | None, overrides: Sequence[str]
) -> tuple[str, list[Any]]:
    """Return name and levels of an axis; each level is checked as a setting is."""
    name, equals, words = (part.strip() for part in text.partition("="))
    section, _, key = name.partition(".")
    if not equals or section not in _FACTOR_SECTIONS:
        raise ConfigError(
            f"study.factors: expected a setting of [train] or [augment] and its levels, such as "
            f'"train.mixup=0|0.2". Received: {text!r}.'
        )
    levels = []
    for word in words.split("|"):
        found = load_config(config_path, [*overrides, f"{name}={word.strip()}"], StudyConfig)
        levels.append(getattr(getattr(found, section), key))
    return name, levels


def _images(
    config: StudyConfig, source: str, side: int, table: ImageTable | None, show_progress: bool
) -> PreparedImages:
    options = TrainConfig(
        run=config.run,
        data=dataclasses.replace(config.data, source=source, size=side),
        validation=config.validation,
        executor=config.executor,
    )
    return prepare_images(options, table=table, show_progress=show_progress)
