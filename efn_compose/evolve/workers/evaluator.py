"""What a worker does: compose, train one epoch, re-estimate BatchNorm statistics, score."""

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from efn_compose.arch import HEAD_LAYER, Conventions
from efn_compose.assess.metrics import scores
from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.compose.compose import Tensors
from efn_compose.compose.units import contributions
from efn_compose.data import DataSet
from efn_compose.donors import Donor
from efn_compose.donors.activations import channel_deviations
from efn_compose.donors.align import align
from efn_compose.evolve.options import FitnessAugmentOptions, FitnessOptions
from efn_compose.evolve.workers.devices import prepare_device
from efn_compose.evolve.workers.tasks import (
    AbsorbTask,
    AlignTask,
    BatchSizeTask,
    Evaluation,
    EvaluationTask,
    FinishTask,
    LearnedSoupTask,
    PredictionTask,
    SaliencyTask,
    SiblingTask,
)
from efn_compose.models.memory import (
    inference_batch,
    largest_batch,
    peak_bytes,
    training_bytes,
)
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.statistics.refit import REFIT_IMAGES, CompositionRefit
from efn_compose.train.engine.placement import USABLE_SHARE, Placement, accelerator_bytes
from efn_compose.train.learned_soup import LearnedSoup, SoupLearner
from efn_compose.train.resident.probe import probe_scores
from efn_compose.train.resident.resident import ResidentModel, TrainSettings, batches


@dataclass(frozen=True)
class WorkerSetup:
    """Everything a worker needs but donors and data.

    Args:
        conventions: Common to all donors.
        fitness: What one evaluation does.
        metric: "accuracy" or "auc".
        threads: TensorFlow threads; part of what a result depends on.
        device: "cpu", "gpu" or "tpu".
        gpu_memory_mb: The worker's share of a GPU; 0 for all of it.
        augment: What an evaluation's training images are subjected to.
    """

    conventions: Conventions
    fitness: FitnessOptions
    metric: str = "accuracy"
    threads: int = 1
    device: str = "cpu"
    gpu_memory_mb: int = 0
    augment: FitnessAugmentOptions = field(default_factory=FitnessAugmentOptions)

    def make_evaluator(self, data: DataSet) -> "Evaluator":
        """Prepare this process' device and return an evaluator on it."""
        strategy = prepare_device(self.device, self.threads, self.gpu_memory_mb)
        fitness = self.fitness
        placement = Placement(self.device, fitness.precision, fitness.xla, strategy)
        return Evaluator(self, data, placement)


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str):
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + elapsed, 6)


class Evaluator:
    """One resident model with data and donors, answering tasks.

    Args:
        setup: Conventions and fitness.
        data: Images and labels of all parts.
        placement: How the model runs on the device.

    Example:
        >>> evaluator = Evaluator(setup, data)  # doctest: +SKIP
        >>> evaluator.set_donors(space, donors)  # doctest: +SKIP
        >>> evaluator.evaluate(EvaluationTask(Recipe.genome(space.pure(0)), seed=1))  # doctest: +SKIP
    """

    def __init__(
        self, setup: WorkerSetup, data: DataSet, placement: Placement | None = None
    ) -> None:
        self.setup, self.data = setup, data
        self._placement = placement or Placement(setup.device, setup.fitness.precision)
        self.space: GenomeSpace | None = None
        self.donors: Sequence[Tensors] = ()
        self._resident: ResidentModel | None = None
        self._images = {
            part: self._placement.hold(getattr(data, f"{part}_images"))
            for part in ("train", "validation", "test")
        }
        self._train_labels = tf.constant(data.train_labels)

    def set_donors(self, space: GenomeSpace, donors: Sequence[Tensors]) -> None:
        """Take the donors that genomes number, replacing earlier ones."""
        self.space, self.donors = space, donors
        self._refit = CompositionRefit(
            space.spec, self.setup.conventions, donors, self.data.train_images[:REFIT_IMAGES]
        )
        if self._resident is None:
            fitness = self.setup.fitness
            settings = TrainSettings(
                batch_size=fitness.batch_size,
                learning_rate=fitness.learning_rate,
                schedule=fitness.schedule,
                label_smoothing=fitness.label_smoothing,
                dropout=fitness.dropout,
                augment=None if self.setup.augment.is_off else self.setup.augment,
            )
            self._resident = ResidentModel(
                space.spec,
                self.setup.conventions,
                self.data.classes,
                settings,
                self.data.size,
                self._placement,
            )
            #: Images per pass where no gradient is needed.
            self.inference_batch = inference_batch(space.spec, self.data.size)
            count = min(len(self.data.train_labels), fitness.recalibrate_images)
            self._recalibration_order = batches(count, self.inference_batch)

    @property
    def model(self) -> ResidentModel | None:
        """The traced model; None before there are donors."""
        return self._resident

    def evaluate(self, task: EvaluationTask) -> Evaluation:
        """Score a recipe after training; a diverged training is an answer, not an exception."""
        clock, model = _Clock(), self._resident
        tensors = self._begin(task, clock)
        with clock.phase("epoch"):
            train_loss = self._train(task.seed, task.epochs, self._rate(task, tensors))
        with clock.phase("bn"):
            # Once is enough: training reads batch statistics, and this replaces the moving ones.
            self._recalibrate()
        found = {}
        with clock.phase("score"):
            for part in task.parts:
                labels = getattr(self.data, f"{part}_labels")
                logits = model.predict(
                    self._images[part], batches(len(labels), self.inference_batch)
                )
                if not np.isfinite(logits).all():
                    return Evaluation(
                        error=f"training diverged: {part} logits are not finite "
                        f"(mean training loss {train_loss:g})",
                        seconds=clock.seconds,
                    )
                is_calibrated = self.setup.fitness.loss == "calibrated"
                found[part] = scores(logits, labels, self.setup.metric, is_calibrated=is_calibrated)
        if not math.isfinite(train_loss):
            return Evaluation(
                error=f"training diverged: training loss is {train_loss}", seconds=clock.seconds
            )
        weights = model.tensors(with_head=True) if task.keep_weights else None
        return Evaluation(found, train_loss, seconds=clock.seconds, weights=weights)

    def probe(self, task: EvaluationTask) -> Evaluation:
        """Score a recipe's untrained features; all alike get BatchNorm statistics re-estimated."""
        clock, model = _Clock(), self._resident
        self._begin(task, clock)
        with clock.phase("bn"):
            self._recalibrate()
        with clock.phase("score"):
            data = self.data
            train = model.features(self._images["train"], self._recalibration_order)
            train_labels = data.train_labels[: len(train)]
            found = {}
            for part in task.parts:
                labels = getattr(data, f"{part}_labels")
                features = model.features(
                    self._images[part], batches(len(labels), self.inference_batch)
                )
                if not (np.isfinite(features).all() and np.isfinite(train).all()):
                    error = f"the untrained features of {part} images are not finite"
                    return Evaluation(error=error, seconds=clock.seconds)
                found[part] = probe_scores(train, train_labels, features, labels, data.classes)
        return Evaluation(found, seconds=clock.seconds)

    def make_sibling(self, task: SiblingTask) -> dict[str, np.ndarray]:
        """Return a donor's weights after training on one share of the training images."""
        model = self._resident
        model.load(self.donors[task.donor], task.seed)
        generator = np.random.default_rng([task.partition_seed, 3])
        shuffled = generator.permutation(len(self.data.train_labels))
        share = np.sort(np.array_split(shuffled, task.share_count)[task.share])
        order = share[model.epoch_order(len(share), task.seed)].astype(np.int32)
        model.train(self._images["train"], self._train_labels, order)
        self._recalibrate()
        return model.tensors()

    def align(self, task: AlignTask) -> list[Donor]:
        """Return donors in the first one's channel basis, fitted on training images."""
        images = self.data.train_images[: task.image_count]
        with self._own_threads():
            return align(task.donors, images, seed=task.seed).donors

    def absorb(self, task: AbsorbTask) -> Donor:
        """Return a donor of the same function, written over the statistics of training images."""
        return absorb_statistics(task.donor, self.data.train_images[: task.image_count], task.part)

    def learn_soup(self, task: LearnedSoupTask) -> LearnedSoup:
        """Return segment weights of all donors, learned on training images."""
        model, count = self._resident, len(self.data.train_labels)
        # Dropout begins as in any training of this seed; weights are overwritten.
        model.load(self.donors[0], task.seed)
        learner = SoupLearner(
            model.model, self.space.spec, self.setup.conventions, self.data.classes, self.donors
        )
        order = model.epoch_order(count, task.seed, task.epochs)
        return learner.learn(
            self._images["train"], self._train_labels, order, seed=task.seed, rate=task.rate
        )

    def saliency(self, task: SaliencyTask) -> dict[str, np.ndarray]:
        """Return how much each unit of a donor moves the residual stream, by expanded group."""
        images = self.data.train_images[: task.image_count]
        tensors = dict(self.donors[task.donor])
        donor = Donor("donor", self.space.spec, self.setup.conventions, tensors)
        with self._own_threads():
            return contributions(donor, channel_deviations(donor, images, seed=task.seed))

    def predict(self, task: PredictionTask) -> dict[str, np.ndarray]:
        """Return the class (image,) int32 and its probability (image,) float32 of all test images."""
        tensors = self._composed(task.recipe)
        self._resident.load(tensors, task.seed)
        self._train(task.seed, task.epochs, self._rate(task, tensors))
        self._recalibrate()
        order = batches(len(self.data.test_labels), self.inference_batch)
        logits = self._resident.predict(self._images["test"], order).astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        confidence = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1)
        return {
            "predicted": logits.argmax(axis=1).astype(np.int32),
            "confidence": confidence.astype(np.float32),
        }

    def finish(self, task: FinishTask) -> dict[str, np.ndarray]:
        """Return a recipe's weights, statistics re-estimated where networks met in this run."""
        tensors = self._composed(task.recipe)
        # What was trained here brings its classifier; it may be a mean of several itself.
        is_trained = f"{HEAD_LAYER}/kernel" in tensors
        if not (is_trained or task.recipe.is_mixed(self.space)):
            return {name: np.array(values) for name, values in tensors.items()}
        self._resident.load(tensors, seed=0)
        self._recalibrate()
        return self._resident.tensors(with_head=is_trained)

    def try_batches(self, task: BatchSizeTask) -> list[tuple[int, int]]:
        """Return the batch sizes that fit and the peak of memory with each, in bytes."""
        device, model = self._placement.device, self._resident
        limit = task.limit_bytes
        if device == "gpu":
            limit = min(limit, USABLE_SHARE * accelerator_bytes())
        model.load(self.donors[0], seed=0)

        def step(batch: int) -> None:
            order = batches(batch, batch) % len(self.data.train_labels)
            model.train(self._images["train"], self._train_labels, order)

        each = training_bytes(self.space.spec, self.data.size)
        return list(largest_batch(step, lambda: peak_bytes(device), limit, task.most, each))

    def _begin(self, task: EvaluationTask, clock: _Clock) -> Tensors:
        """Compose a task's recipe, load it into the model, and return its tensors."""
        with clock.phase("compose"):
            tensors = self._composed(task.recipe)
        with clock.phase("assign"):
            self._resident.load(tensors, task.seed, task.head_seed)
        return tensors

    def _own_threads(self) -> AbstractContextManager:
        """Hold linear algebra to the worker's threads: results must not depend on where it runs."""
        from threadpoolctl import threadpool_limits

        return threadpool_limits(self.setup.threads)

    def _composed(self, recipe: Recipe) -> Tensors:
        """Return a recipe's tensors, refitted where that is wanted and donors meet."""
        tensors = recipe.compose(self.space, self.donors)
        # What brings a classifier was trained whole, and is read as it was trained.
        is_trained = f"{HEAD_LAYER}/kernel" in tensors
        if not self.setup.fitness.refit or is_trained or not recipe.is_mixed(self.space):
            return tensors
        with self._own_threads():
            return self._refit.apply(tensors, recipe.host(self.space))

    def _recalibrate(self) -> None:
        self._resident.recalibrate(self._images["train"], self._recalibration_order)

    def _train(self, seed: int, epochs: float, rate: float = 1.0) -> float:
        if epochs == 0:
            return 0.0
        order = self._resident.epoch_order(len(self.data.train_labels), seed, epochs)
        return self._resident.train(self._images["train"], self._train_labels, order, rate)

    def _rate(self, task: EvaluationTask | PredictionTask, tensors: Tensors) -> float:
        """Return the factor of the learning rate for a task's weights."""
        is_trained = self._resident.keeps_head(tensors)
        return self.setup.fitness.final_rate if task.gentle and is_trained else 1.0
