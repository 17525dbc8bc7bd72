"""The settings of a run's data set."""

from dataclasses import dataclass
from typing import Literal

from efn_compose.settings.declare import When, setting

#: What a source may be, for help texts.
SOURCES = "digits, fashion_mnist, or KIND:PATH (folder, csv, npz, tfrecord, parquet, tar)"
#: Kinds of sources whose columns have names.
_WITH_COLUMNS = ("csv", "tfrecord", "parquet", "tar")


def of_table(setting: str = "data.source") -> When:
    """Return the condition of settings that only a csv source reads."""
    return When("reads_table", (True,), f"{setting} = csv:PATH")


def of_columns(setting: str = "data.source") -> When:
    """Return the condition of settings that only sources with named columns read."""
    *first, last = (f"{kind}:PATH" for kind in _WITH_COLUMNS)
    return When("has_columns", (True,), f"{setting} = {', '.join(first)} or {last}")


class NamedSource:
    """What a section's source says of itself by its name."""

    source: str

    @property
    def reads_table(self) -> bool:
        """Whether images are listed in a table."""
        return self.source.startswith("csv:")

    @property
    def has_columns(self) -> bool:
        """Whether the source has columns with names."""
        return self.source.partition(":")[0] in _WITH_COLUMNS

    @property
    def reads_files(self) -> bool:
        """Whether images are encoded, and some may be damaged."""
        return self.has_columns or self.source.startswith("folder:")


@dataclass(frozen=True)
class SourceOptions(NamedSource):
    """What the `[data]` sections of searches and trainings have in common.

    Args:
        source: "digits", "fashion_mnist", "folder:PATH", "npz:PATH", "csv:PATH", "tfrecord:PATH",
            "parquet:PATH" or "tar:PATH"; the paths of the last three may be patterns.
        size: Height and width in pixels that every image is resized to.
        metric: What is reported beside the cross-entropy.
        unreadable_share: Images that cannot be decoded are left out and listed in the run folder,
            as long as they are at most this share; 0 refuses the whole set and lists them.
        columns: "image=NAME", "label=NAME", "patient=NAME" each: the columns of a csv, tfrecord, parquet or
            tar source.
        folder: A folder that the image paths of a csv source may start from.
    """

    source: str = setting("", SOURCES)
    size: int = setting(48, "pixels, height and width", minimum=8, maximum=2048)
    metric: Literal["accuracy", "auc"] = setting(
        "accuracy", "score reported beside the cross-entropy; auc: area under the curve"
    )
    unreadable_share: float = setting(
        0.0,
        "largest share of undecodable images to leave out; 0 refuses them",
        minimum=0.0,
        maximum=1.0,
        read_when=When(
            "reads_files",
            (True,),
            "data.source = folder:PATH, csv:PATH, tfrecord:PATH, parquet:PATH or tar:PATH",
        ),
    )
    columns: tuple[str, ...] = setting(
        (), "names of a source's columns, such as image=isic_id", read_when=of_columns()
    )
    folder: str = setting("", "csv: a folder that image paths may start from", read_when=of_table())


@dataclass(frozen=True)
class DataOptions(SourceOptions):
    """The `[data]` section of a search.

    The three counts are images drawn for each split, stratified by class. A count of 0
    means all that the proportions 60/20/20 of the whole table give that split, at least one
    image of each class. Where the source names patients, no patient is in two splits; patients
    cannot be cut, so a count of 0 then gives about its proportion, while a positive count is met
    exactly or refused.

    Args:
        train_images: Images of the fitness epoch.
        validation_images: Images that decide between candidates during the search.
        test_images: Images seen once, for the verdict.
        statistics_images: Training images that BatchNorm statistics are re-estimated on after an
            epoch, at most.
    """

    train_images: int = setting(0, "images of the fitness epoch; 0: 60 % of all", minimum=0)
    validation_images: int = setting(0, "images that decide the search; 0: 20 % of all", minimum=0)
    test_images: int = setting(0, "images of the verdict; 0: 20 % of all", minimum=0)
    statistics_images: int = setting(
        1024, "training images that BatchNorm statistics are re-estimated on", minimum=2
    )
