"""The settings of a search; defaults live here and nowhere else."""

import importlib
from dataclasses import dataclass
from typing import Literal

from efn_compose.data.cache.order import FillOrder
from efn_compose.data.holding import Holding, ImagesIn
from efn_compose.errors import ConfigError
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.settings.declare import When, setting
from efn_compose.store.environment import usable_cores
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.augment.parts import parts_of
from efn_compose.train.engine.options import HEAD_START_HELP, HeadStart


@dataclass(frozen=True)
class FinalsOptions:
    """`[finals]`: how luck is kept from deciding: noise measured first, fresh seeds at the end.

    Args:
        noise_repeats: Seeds over which the fitness of a donor is measured before the search.
        finalists: The search's best, re-run at the end.
        final_seeds: Fresh seeds of each finalist and each donor.
        final_rate: Factor of the learning rate for weights that include a trained classifier; the
            search's rate would undo their training.
    """

    noise_repeats: int = setting(
        5,
        "seeds of the first and the last donor before the search; their spread is the noise",
        minimum=0,
    )
    finalists: int = setting(4, "best genomes that are run again at the end", minimum=1)
    final_seeds: int = setting(
        5, "fresh seeds that each finalist and each donor is run with at the end", minimum=2
    )
    final_rate: float = setting(
        0.1,
        "factor of the learning rate for weights that include a trained classifier",
        minimum=0.0,
        read_when=When("kind.trains_on", (True,), 'search.kind = "halving" or "lamarck"'),
    )


@dataclass(frozen=True)
class FitnessOptions:
    """`[fitness]`: what one evaluation does with a set of weights.

    Args:
        epochs: Passes over the training images; "auto" is decided once their number is known.
        batch_size: Images per step; 0 finds the largest that fits, once.
        learning_rate: Of Adam.
        schedule: Of the rate over the epoch.
        dropout: Rate before the classifier.
        head_start: How a new classifier begins; "class_means" is a function of weights and training
            images, so that equal weights have equal classifiers whatever the seed.
        refit: Before the epoch, fit the project convolutions of mixed blocks to their host's outputs.
    """

    epochs: float | Literal["auto"] = setting(
        "auto",
        "passes over the training images in one evaluation; auto: one, and more where so few images "
        "leave the weights nearly where they began",
        minimum=0.0,
    )
    batch_size: int = setting(
        32, "images per step; 0: the largest number that fits, measured once", minimum=0
    )
    learning_rate: float = setting(1e-3, "highest learning rate of Adam", minimum=0.0)
    schedule: Literal["constant", "cosine"] = setting(
        "constant", "course of the learning rate over an evaluation"
    )
    dropout: float = setting(0.2, "dropout rate before the classifier", minimum=0.0, maximum=0.95)
    head_start: HeadStart = setting("random", HEAD_START_HELP)
    refit: bool = setting(
        False,
        "before the epoch, fit the project convolutions of mixed blocks to their host's outputs on "
        "training images; averages are refitted as well",
        read_when=When(
            "kind.mixes_untrained",
            (True,),
            'search.kind = "genetic", "steady", "random", "cma" or "halving"',
        ),
    )

    @property
    def passes(self) -> float:
        """Passes over the training images in one evaluation.

        Raises:
            ConfigError: They follow from images that are not known yet.
        """
        if self.epochs == "auto":
            raise ConfigError(
                "fitness.epochs = 'auto' is decided once images are loaded. Received no images; set a "
                "number."
            )
        return self.epochs


@dataclass(frozen=True)
class FitnessAugmentOptions(AugmentOptions):
    """[augment] of a search: as in a training, but every part is off unless asked for."""

    flip_x: float = setting(0.0, "probability of mirroring left-right", minimum=0.0, maximum=1.0)

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

    kind: str = setting(
        "auto",
        "where evaluations run; serial: one after the other in this process; auto: serial for one "
        "worker, otherwise ray",
        choices=("auto", *EXECUTORS),
    )
    device: Literal["auto", "cpu", "gpu", "tpu"] = setting(
        "auto", "device of the workers; auto: the best there is, in this process the processor"
    )
    workers: int = setting(
        0,
        "number of workers; 0: one per core or device",
        minimum=0,
        read_when=When("kind", ("auto", "ray")),
    )
    address: str = setting(
        "",
        "address of a running Ray cluster; empty: Ray is started here",
        read_when=When("kind", ("auto", "ray")),
    )
    retries: int = setting(
        2, "further attempts at an evaluation whose worker died", minimum=0, read_when=_RAY
    )
    images: ImagesIn = setting(
        "auto",
        "where decoded images lie; memory: in each worker; cache: in one copy on a machine's disk; "
        "auto: memory where all copies take less than half of what is free",
    )
    memory_limit_mb: int = setting(
        6000,
        "MB that a worker may grow to before it is replaced; 0: no limit",
        minimum=0,
        read_when=(_RAY, When("fitness.batch_size", (0,))),
    )
    patience: float = setting(
        900.0,
        "seconds to wait for a free place and for a worker's first answer, twice as many at each further "
        "attempt; a later answer may take ten times the median",
        minimum=1.0,
        read_when=_RAY,
    )
    workers_per_gpu: int = setting(
        1,
        "workers that share a GPU; more than one needs gpu_memory_mb",
        minimum=1,
        read_when=_GPU_IN_RAY,
    )
    gpu_memory_mb: int = setting(
        0, "MB that each worker takes of its GPU; 0: all", minimum=0, read_when=_ON_GPU
    )

    @property
    def chosen(self) -> str:
        """The kind of executor that "auto" stands for, or the one asked for."""
        if self.kind != "auto":
            return self.kind
        return "serial" if self.workers == 1 and not self.address else "ray"

    @property
    def in_ray(self) -> bool:
        """Whether Ray's workers evaluate, and not this process."""
        return self.chosen == "ray"

    @property
    def on_gpu(self) -> bool:
        """Whether evaluations may run on a GPU; without Ray only where one is asked for."""
        return self.device == "gpu" or (self.device == "auto" and self.in_ray)

    @property
    def in_ray_on_gpu(self) -> bool:
        """Whether Ray's workers may run on GPUs."""
        return self.in_ray and self.on_gpu

    @property
    def expected_workers(self) -> int:
        """How many workers there will be, before any has started: one per core where none is set."""
        if EXECUTORS[self.chosen].is_in_process:
            return 1
        return self.workers or (usable_cores() if self.device in ("auto", "cpu") else 1)

    @property
    def holding(self) -> Holding:
        """Where decoded images are: each worker may hold a copy beside that of this process."""
        here = 1 if self.chosen == "serial" else self.workers or usable_cores()
        filling = EXECUTORS[self.chosen].filling
        share_out = self._fill_all if self.address and filling else None
        return Holding(self.images, copies=here + 1, share_out=share_out)

    def _fill_all(self, order: FillOrder, show_progress: bool, tolerates: bool) -> None:
        """Fill the caches of all nodes of the cluster; see `ShareOut`."""
        module, _, name = EXECUTORS[self.chosen].filling.partition(":")
        getattr(importlib.import_module(module), name)(self, order, show_progress, tolerates)

    def __post_init__(self) -> None:
        if self.workers_per_gpu > 1 and not self.gpu_memory_mb:
            raise ConfigError(
                "executor.workers_per_gpu is more than 1 but executor.gpu_memory_mb is 0: the "
                "workers would take each other's memory. Set it to the card's memory, less a "
                "tenth, over the number of workers."
            )


@dataclass(frozen=True)
class BudgetOptions:
    """[budget]: when the search ends; any of these replaces the number of generations.

    Averages, finals and test come after the search and are kept free of it: the whole run, not
    only its search, stays within hours and evaluations. A resumed run may be given
    another budget; what the journal already decided stays decided.
    """

    hours: float = setting(
        0.0,
        "most hours of the whole run, pauses left out, in place of the number of generations; 0: no limit",
        minimum=0.0,
    )
    evaluations: int = setting(
        0,
        "most evaluations of the whole run, scores of averages without training among them, in place of "
        "the number of generations; 0: no limit",
        minimum=0,
    )
    until_no_better: int = setting(
        0,
        "evaluations without a new best that end the search, in place of the number of generations; "
        "0: it goes on",
        minimum=0,
    )

    @property
    def is_set(self) -> bool:
        """Whether any of these, and not the number of generations, ends the search."""
        return bool(self.hours or self.evaluations or self.until_no_better)


@dataclass(frozen=True)
class OutputOptions:
    """[output]: what the run leaves."""

    nest_into: str = setting("", "larger variant that the winner is also nested into; empty: none")
