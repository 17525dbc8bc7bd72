"""Everything of an ensemble checked and loaded before its first byte is written."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from efn_compose.assess.ensembles.methods import RANKED
from efn_compose.assess.prediction_store.blocks import require_parquet
from efn_compose.config import dump_toml, load_config
from efn_compose.data import ImageTable, load_table
from efn_compose.data.content import content_digests
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.jobs.ensembles.columns import Members, read_members
from efn_compose.jobs.ensembles.deadline import Deadline
from efn_compose.jobs.ensembles.labelled import already_labelled, labelled_images, told_by_files
from efn_compose.jobs.ensembles.options import EnsembleConfig
from efn_compose.jobs.ensembles.other import OtherEnsemble, read_method, read_other
from efn_compose.jobs.ensembles.stacking.pooled import check_unseen, load_bodies
from efn_compose.jobs.ensembles.stacking.portfolio import StackModel, load_portfolio
from efn_compose.jobs.ensembles.stacking.tabular import FurtherColumns, read_further, read_table
from efn_compose.jobs.predictions.job import views_of
from efn_compose.jobs.predictions.submission import Template, read_template
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.train.tta import TtaOptions

STORED = StoredConfig(EnsembleConfig, free=("run", "executor", "budget"), later=("pixels", "table"))
_LISTED = 5


@dataclass(frozen=True, eq=False)
class PreparedEnsemble:
    """What an ensemble is made of.

    Args:
        config: All settings.
        members: The columns, with rows and networks.
        table: The images of the submission.
        template: What to fill, None for a table of our own.
        folder: The run folder.
        notes: Sentences for people.
        models: Second-level models, none without a second level.
        further: The user's own columns for them, None without.
        other: A finished ensemble to stand beside in the report, None without.
        bodies: Networks whose pooled features second-level models see.
        labelled: The labelled images, where these networks are asked about them.
        deadline: From which on the job only finishes; it counts since before anything was read.
    """

    config: EnsembleConfig
    members: Members
    table: ImageTable
    template: Template | None
    folder: Path
    notes: tuple[str, ...]
    models: tuple[StackModel, ...] = ()
    further: FurtherColumns | None = None
    other: OtherEnsemble | None = None
    bodies: tuple[Donor, ...] = ()
    labelled: ImageTable | None = None
    deadline: Deadline = field(default_factory=lambda: Deadline(0))

    @property
    def tta(self) -> TtaOptions | None:
        """Views of each test image; None: those of each training."""
        count = self.config.ensemble.tta
        return views_of(count) if count else None

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of all that decides the result."""
        columns = hashlib.sha256(repr(self.members.names).encode())
        for member in self.members.members:
            columns.update(np.ascontiguousarray(member.probability).data)
        images = hashlib.sha256()
        for number in range(len(self.table)):
            images.update(self.table.image_name(number).encode() + b"\0")
        return {
            "config": STORED.hash(dump_toml(self.config)),
            "seed": str(self.config.run.seed),
            "folds": self.members.rows.digest,
            "columns": columns.hexdigest(),
            "models": hashlib.sha256(repr([m.key for m in self.models]).encode()).hexdigest(),
            "bodies": " ".join(body.fingerprint for body in self.bodies),
            "table": "" if self.further is None else self.further.digest,
            "data": images.hexdigest(),
            "pixels": hashlib.sha256(repr(content_digests(self.table.images)).encode()).hexdigest(),
        }


def check_settings(config: EnsembleConfig) -> None:
    """Refuse settings of an ensemble that no trainings could suit.

    Args:
        config: Its trainings need not be there yet.

    Raises:
        EfnComposeError: Settings exclude each other, or a file that they name cannot be used.
    """
    require_parquet()
    options = config.ensemble
    if options.method == "rank_mean" and options.measure != "auc":
        raise ConfigError(
            f"ensemble.method = 'rank_mean' gives ranks and has no {options.measure}. Set "
            "ensemble.measure = 'auc', or choose another method."
        )
    if config.stack.is_asked:
        load_portfolio(config.stack.portfolio)
        if config.stack.table:
            read_table(Path(config.stack.table))
    load_bodies(config.stack.features, options.runs)
    if options.against:
        theirs = read_method(Path(options.against))
        if theirs in RANKED and options.measure != "auc":
            raise ConfigError(
                f"ensemble.against = {options.against!r} submits ranks ({theirs}), which have no "
                f"{options.measure}. Set ensemble.measure = 'auc', or leave ensemble.against out."
            )


def prepare_ensemble(
    config_path: str | os.PathLike[str] | None,
    overrides: Sequence[str] = (),
    *,
    resume: bool | None = None,
) -> PreparedEnsemble:
    """Load and check configuration, trainings and images; writes nothing.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        resume: Whether the run folder has a run to go on with, or else none; None does not look.

    Raises:
        EfnComposeError: Anything that would stop the job later.
    """
    config = load_config(config_path, overrides, EnsembleConfig)
    deadline = Deadline(config.budget.hours)
    folder = config.run.folder(config_path, "ensemble")
    STORED.check_place(folder, config, resume)
    check_settings(config)
    options = config.ensemble
    members = read_members(options.runs)
    if not config.data.source:
        raise ConfigError(
            "data.source is empty. Name the images to predict: folder:PATH, csv:PATH, npz:PATH, "
            "digits or fashion_mnist."
        )
    table = load_table(
        config.data.source, config.data.columns, config.data.folder, needs_labels=False
    )
    notes = list(table.notes) + [
        f"{member.column.name}: {member.column.flattery}, which flatters its out-of-fold rows"
        for member in members.members
        if member.column.flattery
    ]
    names = [table.image_name(number) for number in range(len(table))]
    notes += told_by_files(members.rows) + already_labelled(members.rows, names)
    template = None
    if options.template:
        template = read_template(Path(options.template), names, members.rows.class_names)
        notes += template.notes
    models, further = _second_level(config, members, names, notes)
    other = read_other(Path(options.against), members.rows) if options.against else None
    bodies = load_bodies(config.stack.features, options.runs)
    labelled = labelled_images(members.rows, options.runs) if bodies else None
    if bodies and labelled is None:
        raise ConfigError(
            "stack.features: the labelled images are not where the trainings read them, so that no "
            "network can be asked about them. Put them back, or leave stack.features out."
        )
    if labelled is not None:
        check_unseen(bodies, labelled)
    return PreparedEnsemble(
        config,
        members,
        table,
        template,
        folder,
        tuple(notes),
        models,
        further,
        other,
        bodies,
        labelled,
        deadline,
    )


def _second_level(
    config: EnsembleConfig, members: Members, names: Sequence[str], notes: list[str]
) -> tuple[tuple[StackModel, ...], FurtherColumns | None]:
    if not config.stack.is_asked:
        return (), None
    further = None
    if config.stack.table:
        path = Path(config.stack.table)
        further = read_further(path, members.rows.image, names, members.rows.label)
        notes += further.notes
    has_categories = further is not None and bool(further.categories)
    models, words = load_portfolio(config.stack.portfolio, has_categories)
    folds = len(np.unique(members.rows.fold))
    if folds < 3 and any(model.level > 1 for model in models):
        raise ConfigError(
            f"{config.stack.portfolio}: levels above the first need three folds or more, since each level "
            f"is fitted anew without a fold. The runs have {folds}. Leave out the lines of these levels."
        )
    notes += words
    return models, further
