"""The property of a search's worker: images, a traced network, and the donors of its seat."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from efn_compose.arch import HEAD_LAYER, ArchSpec, Conventions
from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.compose.averaging import Tensors
from efn_compose.data import DataSet
from efn_compose.errors import EvaluationError
from efn_compose.evolve.options import FitnessAugmentOptions, FitnessOptions
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.evolve.workers.seat import Ticket
from efn_compose.evolve.workers.worker import Worker
from efn_compose.models.memory import inference_batch
from efn_compose.statistics.refit import REFIT_IMAGES, CompositionRefit
from efn_compose.train.engine.batches import even_batches
from efn_compose.train.engine.head_start import head_numbers
from efn_compose.train.engine.options import DeviceOptions
from efn_compose.train.engine.placement import Placement
from efn_compose.train.resident.feed import held
from efn_compose.train.resident.resident import ResidentModel, TrainSettings, batches


@dataclass(frozen=True)
class WorkerSetup:
    """Everything a worker of a search needs but data and donors.

    Args:
        spec: The network of all donors.
        conventions: Common to all donors.
        fitness: The settings of one evaluation.
        metric: "accuracy" or "auc".
        threads: TensorFlow threads; part of what a result depends on.
        compute: Number formats and compilation.
        statistics_images: Training images that BatchNorm statistics are re-estimated on.
        final_rate: In the finals, factor of the learning rate for weights that include a trained
            classifier.
        augment: What an evaluation's training images are subjected to.
    """

    spec: ArchSpec
    conventions: Conventions
    fitness: FitnessOptions
    metric: str = "accuracy"
    threads: int = 1
    compute: DeviceOptions = field(default_factory=DeviceOptions)
    statistics_images: int = 1024
    final_rate: float = 0.1
    augment: FitnessAugmentOptions = field(default_factory=FitnessAugmentOptions)

    def make_worker(self, data: DataSet, device: Device | None = None) -> "Evaluator":
        """Prepare this process' device, a processor by default, and return an evaluator on it."""
        device = device or Device()
        strategy = prepare_device(device, self.threads)
        compute = self.compute
        placement = Placement(device.kind, compute.precision, compute.xla, strategy)
        return Evaluator(self, data, placement)

    @property
    def train_settings(self) -> TrainSettings:
        """How the network is trained in an evaluation."""
        fitness = self.fitness
        return TrainSettings(
            batch_size=fitness.batch_size,
            learning_rate=fitness.learning_rate,
            schedule=fitness.schedule,
            dropout=fitness.dropout,
            augment=None if self.augment.is_off else self.augment,
        )


class Evaluator(Worker):
    """A worker of a search: what its tasks work with.

    Args:
        setup: Network, conventions and fitness.
        data: Images and labels of all parts.
        placement: Device, and how the network runs on it.
        network: A traced one of the same setup, classes and pixels, to go on with; None makes one.

    Attributes:
        setup: As given.
        data: As given.
        network: The traced network; every training of this worker takes place in it.
        images: By part ("train", "validation", "test"), uint8 (image, height, width, 3): on the
            device, or brought there as they are wanted.
        train_labels: int32 (image,) on the device.
        inference_batch: Images per pass where no gradient is needed.

    Example:
        >>> evaluator = WorkerSetup(spec, conventions, fitness).make_worker(data)  # doctest: +SKIP
        >>> evaluator.sit(Seat(space, donors))  # doctest: +SKIP
        >>> EvaluationTask(Recipe.genome(space.pure(0)), seed=1).run(evaluator)  # doctest: +SKIP
    """

    def __init__(
        self,
        setup: WorkerSetup,
        data: DataSet,
        placement: Placement,
        network: ResidentModel | None = None,
    ) -> None:
        super().__init__()
        self.setup, self.data = setup, data
        self.images = {
            part: held(getattr(data, f"{part}_images"), placement)
            for part in ("train", "validation", "test")
        }
        self.train_labels = tf.constant(data.train_labels)
        self.network = network or ResidentModel(
            setup.spec, setup.conventions, data.classes, setup.train_settings, data.size, placement
        )
        self.inference_batch = inference_batch(setup.spec, data.size)
        count = min(len(data.train_labels), setup.statistics_images)
        # Copies that fill a batch would count one image many times.
        self._recalibration_order = even_batches(count, self.inference_batch)
        looked_at = head_numbers(len(data.train_labels))
        self._head_order = looked_at[even_batches(len(looked_at), self.inference_batch)]
        #: Of the present seat, by fingerprint: none until it is needed.
        self._refits: dict[str, CompositionRefit] = {}

    def sit(self, ticket: Ticket) -> None:
        """Sit at a seat of this worker's network.

        Raises:
            EvaluationError: The seat is of another network.
        """
        super().sit(ticket)
        theirs, ours = self.space.spec, self.setup.spec
        if theirs != ours:
            self.stand_up()
            raise EvaluationError(
                f"The donors of a task are of {theirs.variant}, the worker's network is "
                f"{ours.variant}."
            )

    def stand_up(self) -> None:
        """Let the present seat go, and what was made of it."""
        super().stand_up()
        self._refits.clear()

    @property
    def space(self) -> GenomeSpace:
        """What genomes mean at this seat."""
        return self.seat.space

    @property
    def donors(self) -> Sequence[Tensors]:
        """The tensors of each donor number at this seat."""
        return self.seat.donors

    def compose(self, recipe: Recipe) -> Tensors:
        """Return a recipe's tensors, refitted where that is wanted and donors meet."""
        space = self.space
        tensors = recipe.compose(space, self.donors)
        # Weights that include a classifier were trained whole, and are read as they were trained.
        is_trained = f"{HEAD_LAYER}/kernel" in tensors
        if not self.setup.fitness.refit or is_trained or not recipe.is_mixed(space):
            return tensors
        with self.own_threads():
            return self._refit().apply(tensors, recipe.host(space))

    def load(self, tensors: Tensors, seed: int, head_seed: int | None = None) -> None:
        """Start a candidate; its classifier is among its tensors, or begins as the fitness says.

        Args:
            tensors: Arrays by canonical name.
            seed: Decides the dropout masks, the augmentation, and a classifier that is drawn.
            head_seed: Decides the latter instead, where given.
        """
        self.network.load(tensors, seed, head_seed)
        if self.setup.fitness.head_start == "random" or self.network.keeps_head(tensors):
            return
        with self.own_threads():
            self.network.start_head(self.images["train"], self.labels("train"), self._head_order)

    def train(self, seed: int, epochs: float, rate: float = 1.0) -> float:
        """Train what the network holds and return the mean training loss.

        Args:
            seed: Decides the order of the images.
            epochs: Passes over the training images; 0 trains nothing.
            rate: Factor of the learning rate.
        """
        if epochs == 0:
            return 0.0
        order = self.network.epoch_order(len(self.data.train_labels), seed, epochs)
        return self.train_in_order(order, rate)

    def train_in_order(self, order: np.ndarray, rate: float = 1.0) -> float:
        """Train over training images (step, image) int32 and return the mean training loss."""
        return self.network.train(self.images["train"], self.train_labels, order, rate)

    def rate_factor(self, tensors: Tensors, *, is_gentle: bool) -> float:
        """Return the factor of the learning rate for weights that were just loaded.

        Args:
            tensors: The weights.
            is_gentle: Whether those that bring a classifier train at `final_rate`.
        """
        is_trained = self.network.keeps_head(tensors)
        return self.setup.final_rate if is_gentle and is_trained else 1.0

    def recalibrate(self) -> None:
        """Re-estimate the network's BatchNorm statistics on training images."""
        self.network.recalibrate(self.images["train"], self._recalibration_order)

    def labels(self, part: str) -> np.ndarray:
        """Return the labels (image,) int32 of a part."""
        return getattr(self.data, f"{part}_labels")

    def logits(self, part: str) -> np.ndarray:
        """Return the network's float32 logits (image, class) of a part's images."""
        return self.network.predict(self.images[part], self._order(part))

    def features(self, part: str) -> np.ndarray:
        """Return the network's float32 pooled features (image, channel) of a part's images."""
        return self.network.features(self.images[part], self._order(part))

    def recalibration_features(self) -> np.ndarray:
        """Return the same of the training images that statistics are re-estimated on."""
        return self.network.features(self.images["train"], self._recalibration_order)

    def own_threads(self) -> AbstractContextManager[None]:
        """Hold linear algebra to the worker's threads: results must not depend on where it runs."""
        from threadpoolctl import threadpool_limits

        return threadpool_limits(self.setup.threads)

    def _order(self, part: str) -> np.ndarray:
        return batches(len(self.labels(part)), self.inference_batch)

    def _refit(self) -> CompositionRefit:
        """Return what refits compositions of this seat's donors; each host runs once for all."""
        seat, images = self.seat, self.data.train_images[:REFIT_IMAGES]
        if seat.fingerprint not in self._refits:
            self._refits[seat.fingerprint] = CompositionRefit(
                self.setup.spec, self.setup.conventions, seat.donors, images
            )
        return self._refits[seat.fingerprint]
