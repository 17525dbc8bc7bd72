"""The sections of a pretraining that no folder below owns, and all sections together."""

from dataclasses import dataclass, field
from typing import Literal

from efn_compose.data.options import SOURCES, NamedSource, of_columns, of_table
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.settings.declare import When, section, setting
from efn_compose.store.options import RunOptions
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.engine.options import HEAD_START_HELP, HeadStart
from efn_compose.train.selfsup.options import VIEWED, PretrainOptions, ViewOptions

_VIEWED = " or ".join(VIEWED)
_LABELS = When("labelled.source")


@dataclass(frozen=True)
class DonorOptions:
    """The `[weights]` section of a pretraining.

    Args:
        file: Starting weights: a file that any converter reads, or "package:NAME".
    """

    file: str = setting("", "weight file, or package:NAME")


@dataclass(frozen=True)
class UnlabelledOptions(NamedSource):
    """The `[unlabelled]` section: the images to learn from.

    Args:
        source: "folder:PATH" with images anywhere below, or any source of labelled images, whose
            labels are then not read.
        columns: As for `LabelledOptions`.
        folder: As for `LabelledOptions`.
        size: Height and width in pixels that every image is resized to.
        images: How many of them, drawn at random; 0: all.
        overlap: What becomes of images that the verdict judges by: "refuse" names them and stops;
            "leave_out" does not learn from them, so that one source serves for both;
            "transductive" learns from them, and says so in journal, report and weight file.
        unreadable_share: Images that cannot be decoded are left out, as long as they are at most
            this share; 0 refuses them.
    """

    source: str = setting("", "folder:PATH needs no classes; or any other source")
    columns: tuple[str, ...] = setting(
        (),
        "names of a source's columns, such as patient=patient_id",
        read_when=of_columns("unlabelled.source"),
    )
    folder: str = setting(
        "", "csv: a folder that image paths may start from", read_when=of_table("unlabelled.source")
    )
    size: int = setting(64, "pixels, height and width", minimum=8, maximum=2048)
    images: int = setting(0, "images to take; 0: all", minimum=0)
    overlap: Literal["refuse", "leave_out", "transductive"] = setting(
        "refuse", "labelled images, which the verdict judges by", read_when=_LABELS
    )
    unreadable_share: float = setting(
        0.0, "largest share of undecodable images to leave out", minimum=0.0, maximum=1.0
    )


@dataclass(frozen=True)
class LabelledOptions(NamedSource):
    """The `[labelled]` section: the images that the verdict judges by.

    Args:
        source: As `data.source` of a training; empty: there is no verdict.
        columns: "image=NAME", "label=NAME", "patient=NAME" each: the columns of a csv,
            tfrecord, parquet or tar source.
        folder: A folder that the image paths of a csv source may start from.
        images: How many of them, classes in proportion; 0: all.
        folds: Folds of `efn-compose folds -o FILE`. One judges, the others train. Empty: half of the
            images trains and half judges, another half for each seed.
        fold: The fold that judges.
        seeds: Short trainings per network.
        epochs: Of a short training.
        head_start: How the classifier of a short training begins, the same way for every network.
    """

    source: str = setting("", SOURCES)
    columns: tuple[str, ...] = setting(
        (),
        "names of a source's columns, such as image=isic_id",
        read_when=of_columns("labelled.source"),
    )
    folder: str = setting(
        "", "csv: a folder that image paths may start from", read_when=of_table("labelled.source")
    )
    images: int = setting(0, "images to take; 0: all", minimum=0, read_when=When("source"))
    folds: str = setting("", "folds.csv of `efn-compose folds`", read_when=When("source"))
    fold: int = setting(0, "the fold that judges", minimum=0, read_when=When("folds"))
    seeds: int = setting(5, "short trainings per network", minimum=2, read_when=When("source"))
    epochs: int = setting(5, "epochs of a short training", minimum=1, read_when=When("source"))
    head_start: HeadStart = setting("random", HEAD_START_HELP, read_when=When("source"))


@dataclass(frozen=True)
class PretrainConfig:
    """Everything a pretraining is told; the fields are the sections of its TOML file."""

    run: RunOptions = field(default_factory=RunOptions)
    weights: DonorOptions = field(default_factory=DonorOptions)
    unlabelled: UnlabelledOptions = field(default_factory=UnlabelledOptions)
    labelled: LabelledOptions = field(default_factory=LabelledOptions)
    pretrain: PretrainOptions = field(default_factory=PretrainOptions)
    views: ViewOptions = section(
        ViewOptions,
        read_when=When("pretrain.has_views", (True,), f"pretrain.methods with {_VIEWED}"),
    )
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
