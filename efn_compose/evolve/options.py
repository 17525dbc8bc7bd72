"""The settings of a search; defaults live here and nowhere else."""

from dataclasses import dataclass, field
from typing import Literal

from efn_compose.compose.space import Granularity
from efn_compose.errors import ConfigError
from efn_compose.settings.declare import When, setting
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.augment.parts import parts_of

#: Generations that averages along a training may reach back.
MEMORY = 16
#: Generations of which members that live on in a mean stay on disk whole.
WHOLE = 2


@dataclass(frozen=True)
class SearchOptions:
    """[search]: how genomes are bred and how noise is guarded against."""

    mode: Literal["generational", "steady"] = field(
        default="generational",
        metadata={"help": "steady: no worker waits, but the order of answers decides"},
    )
    population: int = field(default=16, metadata={"minimum": 1, "help": "genomes kept"})
    generations: int = field(default=6, metadata={"minimum": 0, "help": "after the first"})
    inheritance: Literal["baldwin", "lamarck", "halving"] = field(
        default="baldwin",
        metadata={
            "help": "lamarck: trained candidates become the next generation's donors; halving: the "
            "better half of them trains on, the last ones to the end; what both write is an "
            "average of the last states"
        },
    )
    lines: int = field(
        default=1,
        metadata={"minimum": 1, "help": "halving: how many trainings go on to the end"},
    )
    branches: int = field(
        default=1,
        metadata={
            "minimum": 1,
            "help": "halving: trainings that each of these is split into, side by side, averaged "
            "after every generation; one per worker uses them all",
        },
    )
    lookahead: int = field(
        default=1,
        metadata={
            "minimum": 1,
            "maximum": MEMORY,
            "help": "halving: every so many generations a training goes on from the mean of the "
            "last third of its states, so many at least; 1: always from the latest, which measured "
            "better",
        },
    )
    reference: Literal["depth", "budget"] = field(
        default="depth",
        metadata={
            "help": "lamarck: train the best donor as long as one candidate, or as long as all"
        },
    )
    granularity: Granularity = field(default="block", metadata={"help": "what one gene moves"})
    tournament: int = field(default=3, metadata={"minimum": 1, "help": "genomes per tournament"})
    crossover_rate: float = field(default=0.8, metadata={"minimum": 0.0, "maximum": 1.0})
    mutations: float = field(
        default=1.5,
        metadata={
            "minimum": 0.0,
            "help": "genes redrawn per mutation, on average, where its heavy-tailed strength is 1",
        },
    )
    breeding: Literal["genetic", "random"] = field(
        default="genetic", metadata={"help": "random: the baseline that any search must beat"}
    )
    rungs: tuple[Literal["probe", "quarter"], ...] = field(
        default=(),
        metadata={"help": "cheap looks at newcomers before an epoch is spent; they only reject"},
    )
    rung_keep: float = field(
        default=0.5,
        metadata={"minimum": 0.1, "maximum": 1.0, "help": "share that a trusted rung lets through"},
    )
    rung_correlation: float = field(
        default=0.5,
        metadata={
            "minimum": -1.0,
            "maximum": 1.0,
            "help": "rank correlation with the full evaluation from which on a rung is trusted",
        },
    )
    elites: int = field(
        default=2, metadata={"minimum": 1, "help": "best genomes re-run in every generation"}
    )
    noise_repeats: int = field(
        default=5, metadata={"minimum": 0, "help": "seeds that measure the fitness' spread"}
    )
    finalists: int = field(default=4, metadata={"minimum": 1, "help": "genomes re-run at the end"})
    final_seeds: int = field(default=5, metadata={"minimum": 2, "help": "fresh seeds per finalist"})

    def __post_init__(self) -> None:
        if self.inheritance != "baldwin" and self.mode == "steady":
            raise ConfigError(
                f"search.inheritance = {self.inheritance!r} needs generations: its parents are the "
                "last one. Received search.mode = 'steady'. Use search.mode = 'generational'."
            )
        if self.branches > 1 and self.inheritance != "halving":
            raise ConfigError(
                f"search.branches = {self.branches} splits the trainings of search.inheritance = "
                f"'halving'. Received search.inheritance = {self.inheritance!r}. Use 'halving', or "
                "leave search.branches at 1."
            )
        if self.rungs and (self.mode == "steady" or self.inheritance != "baldwin"):
            raise ConfigError(
                "search.rungs are for generations of composed weights: they are calibrated on the "
                f"first one. Received search.mode = {self.mode!r} and search.inheritance = "
                f"{self.inheritance!r}. Leave search.rungs empty, or use 'generational' and 'baldwin'."
            )


@dataclass(frozen=True)
class FitnessOptions:
    """[fitness]: what one evaluation does with a set of weights."""

    epochs: float = field(default=1.0, metadata={"minimum": 0.0, "help": "passes over the data"})
    batch_size: int = field(
        default=32,
        metadata={"minimum": 0, "help": "images per step; 0: the largest that fits, found once"},
    )
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = field(
        default="auto",
        metadata={"help": "auto: float32 on processors, mixed_float16 on GPUs, bfloat16 on TPUs"},
    )
    xla: bool = field(
        default=False,
        metadata={"help": "compile the steps; slower on processors, always so on TPUs"},
    )
    learning_rate: float = field(default=1e-3, metadata={"minimum": 0.0, "help": "of Adam"})
    loss: Literal["auto", "plain", "calibrated"] = field(
        default="auto",
        metadata={
            "help": "calibrated: cross-entropy at the best temperature, since what trained long is "
            "too sure of itself; auto: so where search.inheritance trains on"
        },
    )
    schedule: Literal["constant", "cosine"] = field(
        default="constant", metadata={"help": "of the rate over the epoch"}
    )
    final_rate: float = field(
        default=0.1,
        metadata={
            "minimum": 0.0,
            "help": "in the finals, factor of the rate for weights that bring their classifier: a "
            "rate that searches well throws a trained network off its place",
        },
    )
    label_smoothing: float = field(default=0.0, metadata={"minimum": 0.0, "maximum": 1.0})
    dropout: float = field(default=0.2, metadata={"minimum": 0.0, "maximum": 0.95})
    refit: bool = field(
        default=False,
        metadata={
            "help": "before the epoch, fit the project convolutions of mixed blocks to their host's "
            "outputs on training images; averages get it too"
        },
    )
    recalibrate_images: int = field(
        default=1024,
        metadata={
            "minimum": 2,
            "help": "training images that BatchNorm statistics are re-estimated on",
        },
    )


@dataclass(frozen=True)
class FitnessAugmentOptions(AugmentOptions):
    """[augment] of a search: as in a training, but every part is off unless asked for."""

    flip_x: float = field(
        default=0.0,
        metadata={"minimum": 0.0, "maximum": 1.0, "help": "probability of mirroring left-right"},
    )

    @property
    def is_off(self) -> bool:
        """Whether images are left as they are."""
        return not parts_of(self)


#: What Ray's workers read and a search in this process does not.
_RAY = When("in_ray", (True,), 'executor.kind = "ray" (or "auto" with more than one worker)')
_ON_GPU = When("on_gpu", (True,), 'executor.device = "gpu"')
_GPU_IN_RAY = When("in_ray_on_gpu", (True,), 'executor.kind = "ray" and executor.device = "gpu"')


@dataclass(frozen=True)
class ExecutorOptions:
    """[executor]: where evaluations run. Changing it never changes a result."""

    kind: Literal["auto", "serial", "ray"] = setting(
        "auto", "serial: one after the other in this process; auto: so for one worker, else ray"
    )
    device: Literal["auto", "cpu", "gpu", "tpu"] = setting(
        "auto", "auto: the best there is; of a serial executor, the processor"
    )
    workers: int = setting(
        0, "0: one per core or device", minimum=0, read_when=When("kind", ("auto", "ray"))
    )
    address: str = setting("", "of a running Ray cluster", read_when=When("kind", ("auto", "ray")))
    retries: int = setting(2, "after a worker died", minimum=0, read_when=_RAY)
    memory_limit_mb: int = setting(
        6000,
        "a worker may grow to before it is replaced; 0: never",
        minimum=0,
        read_when=(_RAY, When("fitness.batch_size", (0,))),
    )
    hang_seconds: float = setting(
        900.0, "an evaluation may take, until a median is known", minimum=1.0, read_when=_RAY
    )
    hang_factor: float = setting(
        10.0, "times the median that one may take then", minimum=2.0, read_when=_RAY
    )
    start_seconds: float = setting(
        600.0, "to wait for the first worker's place", minimum=1.0, read_when=_RAY
    )
    workers_per_gpu: int = setting(
        1, "more than one needs gpu_memory_mb", minimum=1, read_when=_GPU_IN_RAY
    )
    gpu_memory_mb: int = setting(
        0, "each worker's share of its GPU; 0: all", minimum=0, read_when=_ON_GPU
    )

    @property
    def in_ray(self) -> bool:
        """Whether Ray's workers evaluate, and not this process."""
        return self.kind == "ray" or (
            self.kind == "auto" and (self.workers != 1 or bool(self.address))
        )

    @property
    def on_gpu(self) -> bool:
        """Whether evaluations may run on a GPU; without Ray only where one is asked for."""
        return self.device == "gpu" or (self.device == "auto" and self.in_ray)

    @property
    def in_ray_on_gpu(self) -> bool:
        """Whether Ray's workers may run on GPUs."""
        return self.in_ray and self.on_gpu

    def __post_init__(self) -> None:
        if self.workers_per_gpu > 1 and not self.gpu_memory_mb:
            raise ConfigError(
                "executor.workers_per_gpu is more than 1 but executor.gpu_memory_mb is 0: the "
                "workers would take each other's memory. Set it to the card's memory, less a "
                "tenth, over the number of workers."
            )


@dataclass(frozen=True)
class BudgetOptions:
    """[budget]: when the search ends; any of these replaces `search.generations`.

    Finals and test come after the search and are kept free of it: the whole run, not
    only its search, stays within hours and evaluations. A resumed run may be given
    another budget; what the journal already decided stays decided.
    """

    hours: float = field(
        default=0.0, metadata={"minimum": 0.0, "help": "of the whole run, pauses left out; 0: any"}
    )
    evaluations: int = field(
        default=0, metadata={"minimum": 0, "help": "of the whole run; 0: any number"}
    )
    until_no_better: int = field(
        default=0,
        metadata={
            "minimum": 0,
            "help": "end the search after so many evaluations without a new best; 0: never",
        },
    )

    @property
    def is_set(self) -> bool:
        """Whether any of these, and not the number of generations, ends the search."""
        return bool(self.hours or self.evaluations or self.until_no_better)


@dataclass(frozen=True)
class OutputOptions:
    """[output]: what the run leaves."""

    weights_name: str = "efn_magic_weights.h5"
    nest_into: str = field(default="", metadata={"help": "variant the winner is also nested into"})
