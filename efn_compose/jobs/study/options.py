"""The `[study]` section, and all sections of a study together."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.jobs.trainings.old_settings import OLD_VALIDATION_SETTINGS
from efn_compose.jobs.trainings.options import ImageOptions, ValidationOptions
from efn_compose.settings.declare import setting
from efn_compose.settings.renamed import Row
from efn_compose.store.options import RunOptions
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.options import TrainOptions

Kind = Literal["grid", "scaling", "methods", "backbones"]
Design = Literal["auto", "full", "sample", "fraction"]
Start = Literal["donor", "random"]


@dataclass(frozen=True)
class StudyOptions:
    """The `[study]` section: the axes, and which of their combinations are trained.

    Args:
        kind: "grid" takes the axes as they are given. The others fill in axes that are empty:
            "scaling" resolutions, depths and widths around the donor's; "methods" eight settings of
            trainings, as a fraction; "backbones" each donor as it is, with scores that need no
            training beside the trained result.
        weights: Donors: files that any converter reads, or "package:NAME".
        networks: Networks by name, or functions "module:function" that return a Keras model from
            RGB pixels 0-255 to features. Empty: each donor's own network.
        widths: Width coefficients of the network's base.
        depths: Depth coefficients of the network's base.
        resolutions: Image sizes in pixels. Empty: `data.size`.
        sources: Data sets instead of `data.source`.
        factors: Further axes: a setting of `[train]` or `[augment]` and its levels, such as
            "train.mixup=0|0.2".
        starts: What a network starts from: its donor, cut and nested to the network, or random
            weights.
        design: All combinations ("full"), a random sample of them, or the fraction of two-level axes
            that a Hadamard matrix chooses. "auto" is the fraction where "methods" fills in its own
            settings, and all combinations otherwise.
        points: Combinations of a sample, or of a fraction (0: as many as keep main effects clear
            of effects of two axes together). Each is trained on every data set.
        equal: What all trainings on a data set have in common: "epochs"; "multiply-adds" in all; or
            "seconds" of processor time, measured once per network and size before the first
            training. For these two the epochs of dear networks are fewer, and `train.epochs` is for
            the middle one.

    Example:
        >>> StudyOptions(widths=(0.5, 1.0)).design
        'auto'
    """

    kind: Kind = setting("grid", "grid, scaling, methods or backbones")
    weights: tuple[str, ...] = setting((), "donors: weight files, or package:NAME")
    networks: tuple[str, ...] = setting((), "networks, or module:function; empty: the donors' own")
    widths: tuple[float, ...] = setting((), "width coefficients", minimum=0.05, maximum=10)
    depths: tuple[float, ...] = setting((), "depth coefficients", minimum=0.05, maximum=10)
    resolutions: tuple[int, ...] = setting(
        (), "image sizes in pixels; empty: data.size", minimum=8, maximum=2048
    )
    sources: tuple[str, ...] = setting((), "data sets; empty: data.source")
    factors: tuple[str, ...] = setting((), 'settings and levels: "train.mixup=0|0.2"')
    starts: tuple[Start, ...] = setting(("donor",), "donor, random, or both")
    design: Design = setting(
        "auto", "auto: fraction for methods without factors, else full; full, sample or fraction"
    )
    points: int = setting(0, "combinations of a sample or a fraction", minimum=0)
    equal: Literal["epochs", "multiply-adds", "seconds"] = setting(
        "epochs", "budget that all trainings have alike"
    )


@dataclass(frozen=True)
class StudyConfig:
    """Everything a study is told; the fields are the sections of its TOML file."""

    renamed: ClassVar[tuple[Row, ...]] = OLD_VALIDATION_SETTINGS

    run: RunOptions = field(default_factory=RunOptions)
    study: StudyOptions = field(default_factory=StudyOptions)
    data: ImageOptions = field(default_factory=ImageOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
