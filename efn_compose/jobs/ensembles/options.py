"""The sections of an ensemble."""

from dataclasses import dataclass, field
from typing import Literal

from efn_compose.data.options import SOURCES, NamedSource, of_columns, of_table
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.settings.declare import When, setting
from efn_compose.store.options import RunOptions


@dataclass(frozen=True)
class EnsembleOptions:
    """The `[ensemble]` section.

    Args:
        runs: Finished run folders of `efn-compose train`, on one fold table.
        method: What challenges the median.
        measure: What is compared on outer folds.
        tta: Views of each test image; 0: those of each training.
        template: A competition's CSV to fill.
        against: Folder of a finished ensemble on the same fold table, for the report.
    """

    runs: tuple[str, ...] = field(default=(), metadata={"help": "run folders of trainings"})
    method: Literal[
        "bagged_climb", "climb", "mean", "geometric", "trimmed", "rank_mean", "best", "median"
    ] = field(default="bagged_climb", metadata={"help": "combination that challenges the median"})
    measure: Literal["auc", "loss", "accuracy"] = field(
        default="auc", metadata={"help": "score that combinations are compared by"}
    )
    tta: int = field(
        default=0,
        metadata={"minimum": 0, "maximum": 256, "help": "views of each image; 0: each training's"},
    )
    template: str = field(default="", metadata={"help": "a competition's CSV to fill"})
    against: str = field(
        default="", metadata={"help": "a finished ensemble that the report shows beside this one"}
    )


@dataclass(frozen=True)
class TestOptions(NamedSource):
    """The `[data]` section of an ensemble: the images of the submission.

    Args:
        source: Images of any source, labelled or not.
        columns: "image=NAME" each: the columns of a csv, tfrecord, parquet or tar source.
        folder: A folder that the image paths of a csv source may start from.
    """

    #: Not a test, whatever its name says to pytest.
    __test__ = False

    source: str = setting("", SOURCES)
    columns: tuple[str, ...] = setting(
        (), "names of a source's columns, such as image=isic_id", read_when=of_columns()
    )
    folder: str = setting("", "csv: a folder that image paths may start from", read_when=of_table())


@dataclass(frozen=True)
class EnsembleBudget:
    """The `[budget]` section of an ensemble.

    Args:
        hours: After so many hours the submission is finished with what is there; 0: no limit.
    """

    hours: float = field(
        default=0.0,
        metadata={
            "minimum": 0.0,
            "help": "hours until the submission, with the networks asked by then; 0: no limit",
        },
    )


@dataclass(frozen=True)
class StackOptions:
    """The `[stack]` section.

    Args:
        portfolio: "none"; "default"; or a TOML file of second-level models.
        table: A CSV with a column of image names and columns of anything else, for labelled and test
            images, that second-level models see beside the networks' answers.
        features: Weight files of networks that never saw the labels; second-level models see the main
            directions of their pooled features like columns of the table.
    """

    portfolio: str = field(
        default="none", metadata={"help": "second-level models: none, default, or a TOML file"}
    )
    table: str = setting(
        "",
        "CSV of further columns for second-level models",
        read_when=When("is_asked", (True,), "stack.portfolio = default or a file"),
    )

    features: tuple[str, ...] = setting(
        (),
        "weight files whose pooled features second-level models see",
        read_when=When("is_asked", (True,), "stack.portfolio = default or a file"),
    )

    @property
    def is_asked(self) -> bool:
        """Whether there is a second level."""
        return self.portfolio != "none"


@dataclass(frozen=True)
class EnsembleConfig:
    """Everything an ensemble is told; the fields are the sections of its TOML file."""

    run: RunOptions = field(default_factory=RunOptions)
    ensemble: EnsembleOptions = field(default_factory=EnsembleOptions)
    data: TestOptions = field(default_factory=TestOptions)
    stack: StackOptions = field(default_factory=StackOptions)
    budget: EnsembleBudget = field(default_factory=EnsembleBudget)
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
