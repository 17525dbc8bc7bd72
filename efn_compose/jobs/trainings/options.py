"""The sections of a training that no folder below owns, and all sections together."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from efn_compose.data.options import SourceOptions
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.jobs.trainings.old_settings import OLD_SETTINGS
from efn_compose.settings.declare import When, setting
from efn_compose.settings.renamed import Row
from efn_compose.store.options import RunOptions
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.objectives.options import ObjectiveOptions
from efn_compose.train.options import TrainOptions
from efn_compose.train.semi.options import SemiOptions
from efn_compose.train.tta.options import TtaOptions

#: One fold in so many validates where folds do not take turns.
SINGLE_SPLIT = 5


@dataclass(frozen=True)
class WeightOptions:
    """The `[weights]` section.

    Args:
        file: Starting weights: a file that any converter reads, or "package:NAME".
        variants: Networks to train; larger ones of the family start with the weights nested
            inside, computing the same. Empty: the file's own.
        fill: What new channels of a larger network start from.
    """

    file: str = field(default="", metadata={"help": "weight file, or package:NAME"})
    variants: tuple[str, ...] = field(
        default=(), metadata={"help": "networks to train; empty: that of the weight file"}
    )
    fill: Literal["he", "replicate", "zero"] = setting(
        "he",
        "start of the channels that a larger network has more",
        read_when=When("variants"),
    )


@dataclass(frozen=True)
class ImageOptions(SourceOptions):
    """The `[data]` section of a training.

    Args:
        images: Take so many at random, whole patients, classes in proportion; 0: all.
        masks: Path of a mask beside an image, * for the image's name without suffix, starting at
            the image's folder. Empty: a csv's column, or an npz file's array.
    """

    size: int = setting(64, "pixels, height and width", minimum=8, maximum=2048)
    images: int = setting(0, "images to take; 0: all", minimum=0)
    masks: str = setting(
        "",
        "path of a mask, * for its image's name: ../masks/*_segmentation.png",
        read_when=When("objective.kind", ("segment",)),
    )


@dataclass(frozen=True)
class ValidationOptions:
    """The `[validation]` section.

    Args:
        folds: Folds that validate in turn; 1: one split, a fifth validates.
        seeds: Trainings of each network and fold; their seeds count up from `run.seed`.
        duplicates: Equal images in different folds are listed in `duplicates.csv`, are joined, so
            that no fold parts them (folds of `file` that do are refused), or stop the run.
        file: Folds of `efn-compose folds -o FILE` to take instead of cutting new ones; `folds`
            is then their number, or 1 for the first alone.
    """

    folds: int = field(
        default=1,
        metadata={
            "minimum": 1,
            "help": "folds that validate in turn; 1: a fifth of the images validates",
        },
    )
    seeds: int = field(default=1, metadata={"minimum": 1, "help": "trainings per network and fold"})
    duplicates: Literal["report", "join", "refuse"] = field(
        default="report", metadata={"help": "treatment of equal images in different folds"}
    )
    file: str = field(default="", metadata={"help": "folds.csv of `efn-compose folds`"})

    @property
    def cut(self) -> int:
        """Folds that the table is cut into."""
        return self.folds if self.folds > 1 else SINGLE_SPLIT


@dataclass(frozen=True)
class TrainConfig:
    """Everything a training is told; the fields are the sections of its TOML file."""

    renamed: ClassVar[tuple[Row, ...]] = OLD_SETTINGS

    run: RunOptions = field(default_factory=RunOptions)
    weights: WeightOptions = field(default_factory=WeightOptions)
    data: ImageOptions = field(default_factory=ImageOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    semi: SemiOptions = field(default_factory=SemiOptions)
    tta: TtaOptions = field(default_factory=TtaOptions)
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
