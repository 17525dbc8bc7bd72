"""Chapters whose verbs have no configuration file of their own: convert, nest, predict."""

from dataclasses import dataclass, field
from typing import Literal

from efn_compose.data.options import NamedSource, of_columns, of_table
from efn_compose.settings.declare import setting
from efn_compose.store.options import RunOptions


@dataclass(frozen=True)
class ConvertOptions:
    """The `[convert]` section of a chapter.

    Args:
        file: Checkpoint of any library, or package:NAME.
    """

    file: str = setting("", "checkpoint of any library, or package:NAME")


@dataclass(frozen=True)
class ConvertChapter:
    """Everything a chapter that converts is told."""

    run: RunOptions = field(default_factory=RunOptions)
    convert: ConvertOptions = field(default_factory=ConvertOptions)


@dataclass(frozen=True)
class NestOptions:
    """The `[nest]` section of a chapter.

    Args:
        file: Weight file of the small network.
        into: The larger network.
        fill: Start of the channels that are new.
    """

    file: str = setting("", "weight file of the small network")
    into: str = setting("", "network to nest into, such as b7 or lite4")
    fill: Literal["he", "replicate", "zero"] = setting("he", "start of new channels")


@dataclass(frozen=True)
class NestChapter:
    """Everything a chapter that nests is told."""

    run: RunOptions = field(default_factory=RunOptions)
    nest: NestOptions = field(default_factory=NestOptions)


@dataclass(frozen=True)
class PredictOptions(NamedSource):
    """The `[predict]` section of a chapter.

    Args:
        networks: Run folders of trainings, and weight files.
        source: Images of any source.
        columns: "image=NAME", "patient=NAME" each: the columns of a csv, tfrecord, parquet or tar source.
        folder: A folder that the image paths of a csv source may start from.
        size: Height and width of the images in pixels.
        tta: Views of each image.
        template: A competition's CSV to fill.
    """

    networks: tuple[str, ...] = setting((), "run folders of trainings, and weight files")
    source: str = setting("", "images of any source")
    columns: tuple[str, ...] = setting(
        (),
        "names of a source's columns, such as image=isic_id",
        read_when=of_columns("predict.source"),
    )
    folder: str = setting(
        "", "csv: a folder that image paths may start from", read_when=of_table("predict.source")
    )
    size: int = setting(0, "pixels; 0: what each network was trained at", minimum=0, maximum=2048)
    tta: int = setting(0, "views of each image; 0: each training's", minimum=0, maximum=256)
    template: str = setting("", "a competition's CSV to fill")


@dataclass(frozen=True)
class PredictChapter:
    """Everything a chapter that predicts is told."""

    run: RunOptions = field(default_factory=RunOptions)
    predict: PredictOptions = field(default_factory=PredictOptions)
