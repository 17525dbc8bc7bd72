"""A model that stays: built and traced once, then given candidate after candidate.

Everything a candidate could inherit from the one before it is reset: weights,
optimizer slots, dropout seeds, BatchNorm statistics. The same candidate scores
identically twice, on any worker with the same number of threads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.arch import HEAD_LAYER, ArchSpec, Conventions
from efn_compose.models import build_model, model_variables
from efn_compose.numerics.class_means import class_mean_head
from efn_compose.statistics.recalibrate import recalibrate_traced
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.engine.adam import FusedAdam
from efn_compose.train.engine.batches import updates_in
from efn_compose.train.engine.fresh import fresh_kernel, head_generator, seed_masks
from efn_compose.train.engine.head_start import classifier_input
from efn_compose.train.engine.placement import Placement, replica_state
from efn_compose.train.engine.schedules import rates_of
from efn_compose.train.options import Schedule
from efn_compose.train.resident.feed import Feed, as_feed

#: Share of old BatchNorm statistics kept per training step; forgets the donor within an epoch.
TRAINING_MOMENTUM = 0.9


@dataclass(frozen=True)
class TrainSettings:
    """How one epoch is trained.

    Args:
        batch_size: Images per step.
        learning_rate: Peak rate of Adam.
        schedule: Of the rate, see `engine.schedules`.
        dropout: Rate before the classifier, 0 to 1.
        augment: Random changes to each training image; None for none. Its draws depend on the
            candidate's seed, the epoch and the image's number alone.
    """

    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    dropout: float = 0.2
    augment: AugmentOptions | None = None


class ResidentModel:
    """One compiled network with its data, serving many sets of weights.

    Args:
        spec: The network.
        conventions: How the weights want to be run; its preprocessing is applied here.
        classes: Width of the classifier.
        settings: Batch size, learning rate, dropout.
        size: Height and width of all images in pixels, where they are known: small maps
            train faster then. None leaves them open.
        placement: Device, precision, compilation; one processor by default.

    Example:
        >>> model = ResidentModel(spec, conventions, 10, TrainSettings())  # doctest: +SKIP
        >>> model.load(tensors, seed=1)  # doctest: +SKIP
        >>> model.train(images, labels, model.epoch_order(len(images), seed=1))  # doctest: +SKIP
        >>> logits = model.predict(validation_images)  # doctest: +SKIP
    """

    def __init__(
        self,
        spec: ArchSpec,
        conventions: Conventions,
        classes: int,
        settings: TrainSettings,
        size: int | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.spec, self.classes, self.settings = spec, classes, settings
        self.placement = placement or Placement()
        with self.placement.building():
            self._build(conventions, size)
        self._mean = tf.constant(conventions.preprocessing.mean, tf.float32)
        self._scale = 1 / tf.constant(conventions.preprocessing.std, tf.float32)
        # Numbers are left open, so that one trace serves all splits, shares and numbers of steps.
        images = tf.TensorSpec((None, size, size, 3), tf.uint8)
        labels = tf.TensorSpec((None,), tf.int32)
        order = tf.TensorSpec((None, None), tf.int32)
        rates = tf.TensorSpec((None,), tf.float32)
        count, loss = tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.float32)
        traced = self.placement.traced
        training = (images, labels, order, order, rates, count, loss)
        self._train_chunk = traced(self._train_steps, training)
        self._recalibrate = traced(self._recalibrate_steps, (images, order, count))
        self._predict = traced(self._predict_steps, (images, order))
        self._features = traced(self._feature_steps, (images, order))
        self._batch_features = traced(self._batch_feature_steps, (images, order))

    def _build(self, conventions: Conventions, size: int | None) -> None:
        """Make the network and all variables."""
        self._momentum = replica_state(TRAINING_MOMENTUM)
        self.model = build_model(
            self.spec,
            conventions,
            input_shape=(size, size, 3),
            classes=self.classes,
            dropout=self.settings.dropout,
            bn_momentum=self._momentum,
            kinds=self.placement.kinds(size),
        )
        self._variables = model_variables(self.model, self.spec, self.classes)
        self._trainable = [variable.value for variable in self.model.trainable_variables]
        self._adam = FusedAdam(self._trainable, self.placement.policy == "mixed_float16")
        #: Steps made, those included that loss scaling left out.
        self._step = replica_state(0, tf.int64)
        self._augment_seed = replica_state(0, tf.int64)
        #: The classifier's input, of the same layers and weights.
        self._backbone = keras.Model(self.model.input, classifier_input(self.model))

    def load(
        self, tensors: Mapping[str, np.ndarray], seed: int, head_seed: int | None = None
    ) -> None:
        """Start a candidate: assign weights, forget everything else.

        Args:
            tensors: Arrays by canonical name. A classifier among them is kept where it has
                this model's classes; otherwise a fresh head is drawn.
            seed: Decides the dropout masks, the augmentation, and a fresh head's initial weights.
            head_seed: Decides the latter instead, where given.
        """
        for name, variable in self._variables.items():
            if name.startswith(f"{HEAD_LAYER}/"):
                continue
            variable.value.assign(tensors[name], read_value=False)
        for name, values in self._head(tensors, seed if head_seed is None else head_seed).items():
            self._variables[name].value.assign(values, read_value=False)
        self._adam.reset()
        self._step.assign(0)
        self._augment_seed.assign(seed % (1 << 32))
        seed_masks(self.model, seed)

    def start_head(self, images: tf.Tensor | Feed, labels: np.ndarray, order: np.ndarray) -> None:
        """Let the classifier begin at the means of the classes' features.

        Features are those that training sees: each batch has its own BatchNorm statistics. The
        network's moving statistics are spoilt, as by any training.

        Args:
            images: uint8 (image, height, width, 3).
            labels: (image,) int32, of all images.
            order: Image numbers (batch, image).
        """
        features = self._inferred(self._batch_features, as_feed(images), order)
        fit = class_mean_head(features, np.eye(self.classes)[labels[order.reshape(-1)]])
        for role, values in (("kernel", fit.kernel), ("bias", fit.bias)):
            self._variables[f"{HEAD_LAYER}/{role}"].value.assign(values.astype(np.float32))

    def epoch_order(self, image_count: int, seed: int, epochs: float = 1.0) -> np.ndarray:
        """Return the image numbers of every training step.

        Whole batches only: what does not fill a batch waits for the next shuffle.

        Args:
            image_count: Number of training images.
            seed: Decides the order.
            epochs: How often each image is seen, about; at least one step is made.

        Returns:
            int32 array (step, image).
        """
        batch = min(self.settings.batch_size, image_count)
        steps_per_epoch = updates_in(image_count, batch)
        steps = updates_in(image_count, batch, epochs)
        generator = np.random.default_rng([seed, 2])
        orders: list[np.ndarray] = []
        while len(orders) * steps_per_epoch < steps:
            order = generator.permutation(image_count)[: steps_per_epoch * batch]
            orders.append(order.reshape(steps_per_epoch, batch))
        return np.concatenate(orders)[:steps].astype(np.int32)

    def train(
        self,
        images: tf.Tensor | Feed,
        labels: tf.Tensor,
        order: np.ndarray,
        rate: float = 1.0,
    ) -> float:
        """Train over an order of images and return the mean training loss.

        Args:
            images: uint8 (image, height, width, 3).
            labels: int32 (image,).
            order: Image numbers (step, image).
            rate: Factor of the settings' learning rate.
        """
        self._momentum.assign(TRAINING_MOMENTUM)
        settings = self.settings
        peak = settings.learning_rate * rate
        rates = rates_of(settings.schedule, len(order), peak).astype(np.float32)
        feed, done, loss = as_feed(images), 0, tf.constant(0.0)
        per_epoch = tf.constant(max(1, len(feed) // order.shape[1]))
        for chunk in feed.chunks(order):
            steps = len(chunk.numbers)
            orders = (tf.constant(chunk.places), tf.constant(chunk.numbers))
            chunk_rates = tf.constant(rates[done : done + steps])
            loss = self._train_chunk(chunk.images, labels, *orders, chunk_rates, per_epoch, loss)
            done += steps
        return float(np.float32(loss) / np.float32(done))

    def recalibrate(self, images: tf.Tensor | Feed, order: np.ndarray) -> None:
        """Re-estimate BatchNorm statistics: the plain mean of the batches' own statistics.

        Args:
            images: uint8 (image, height, width, 3).
            order: Image numbers (batch, image); large batches lose least variance.
        """
        done = 0
        for chunk in as_feed(images).chunks(order):
            self._recalibrate(chunk.images, tf.constant(chunk.places), tf.constant(done))
            done += len(chunk.numbers)

    def predict(self, images: tf.Tensor | Feed, order: np.ndarray) -> np.ndarray:
        """Return float32 logits (image, class) in inference mode.

        Args:
            images: uint8 (image, height, width, 3).
            order: Image numbers (batch, image) from `batches`.
        """
        feed = as_feed(images)
        return self._inferred(self._predict, feed, order)[: len(feed)]

    def features(self, images: tf.Tensor | Feed, order: np.ndarray) -> np.ndarray:
        """Return float32 pooled features (image, channel) in inference mode.

        Args:
            images: uint8 (image, height, width, 3).
            order: Image numbers (batch, image) from `batches`.
        """
        return self._inferred(self._features, as_feed(images), order)[: order.max() + 1]

    @staticmethod
    def _inferred(infer: Callable[..., Any], feed: Feed, order: np.ndarray) -> np.ndarray:
        found = [
            infer(chunk.images, tf.constant(chunk.places)).numpy() for chunk in feed.chunks(order)
        ]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def tensors(self, *, with_head: bool = False) -> dict[str, np.ndarray]:
        """Return copies of the present weights by canonical name, the classifier if wanted."""
        return {
            name: variable.value.numpy()
            for name, variable in self._variables.items()
            if with_head or not name.startswith(f"{HEAD_LAYER}/")
        }

    def keeps_head(self, tensors: Mapping[str, np.ndarray]) -> bool:
        """Return whether loading keeps a classifier among tensors: it has this model's classes."""
        kernel, bias = (f"{HEAD_LAYER}/{role}" for role in ("kernel", "bias"))
        shape = tuple(self._variables[kernel].shape)
        return kernel in tensors and tensors[kernel].shape == shape and bias in tensors

    def _head(self, tensors: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        """Return the classifier among tensors, or a fresh one (Glorot uniform, zero bias)."""
        kernel, bias = (f"{HEAD_LAYER}/{role}" for role in ("kernel", "bias"))
        shape = tuple(self._variables[kernel].shape)
        if self.keeps_head(tensors):
            return {kernel: tensors[kernel], bias: tensors[bias]}
        drawn = fresh_kernel(shape, head_generator(seed))
        return {kernel: drawn, bias: np.zeros(shape[1], np.float32)}

    def _input(self, images: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        return (tf.cast(tf.gather(images, places), tf.float32) - self._mean) * self._scale

    def _augmented(
        self, images: tf.Tensor, places: tf.Tensor, numbers: tf.Tensor, epoch: tf.Tensor
    ) -> tf.Tensor:
        if self.settings.augment is None:
            return self._input(images, places)
        seen = augment(
            tf.gather(images, places),
            numbers,
            self.settings.augment,
            seed=self._augment_seed,
            epoch=epoch,
        )
        return (seen - self._mean) * self._scale

    def _train_steps(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        places: tf.Tensor,
        order: tf.Tensor,
        rates: tf.Tensor,
        per_epoch: tf.Tensor,
        loss_sum: tf.Tensor,
    ) -> tf.Tensor:
        """Make steps and return the sum of losses so far; `order` numbers images, `places` chunk rows."""

        def step_of(number: tf.Tensor, loss_sum: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            numbers = order[number]
            target = tf.one_hot(tf.gather(labels, numbers), self.classes)
            step = tf.convert_to_tensor(self._step)
            epoch = tf.cast(step, tf.int32) // per_epoch
            pixels = self._augmented(images, places[number], numbers, epoch)
            with tf.GradientTape() as tape:
                logits = tf.cast(self.model(pixels, training=True), tf.float32)
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
                scaled = self._adam.scaled(loss)
            self._adam.apply(tape.gradient(scaled, self._trainable), rates[number])
            self._step.assign(step + 1)
            return number + 1, loss_sum + loss

        steps = tf.shape(order)[0]
        start = (tf.constant(0), loss_sum)
        return tf.while_loop(
            lambda number, _: number < steps, step_of, start, maximum_iterations=steps
        )[1]

    def _recalibrate_steps(self, images: tf.Tensor, order: tf.Tensor, done: tf.Tensor) -> None:
        recalibrate_traced(
            lambda number: self.model(self._input(images, order[number]), training=True),
            tf.shape(order)[0],
            self._momentum,
            done,
        )

    def _predict_steps(self, images: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
        return self._infer(self.model, self.classes, images, order)

    def _feature_steps(self, images: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
        return self._infer(self._backbone, self._backbone.output.shape[-1], images, order)

    def _batch_feature_steps(self, images: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
        return self._infer(self._backbone, self._backbone.output.shape[-1], images, order, True)

    def _infer(
        self,
        model: keras.Model,
        width: int,
        images: tf.Tensor,
        order: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        count, batch = tf.shape(order)[0], tf.shape(order)[1]

        def pass_of(number: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            values = model(self._input(images, order[number]), training=training)
            return number + 1, found.write(number, tf.cast(values, tf.float32))

        start = (tf.constant(0), tf.TensorArray(tf.float32, size=count))
        _, found = tf.while_loop(
            lambda number, _: number < count, pass_of, start, maximum_iterations=count
        )
        return tf.reshape(found.stack(), (count * batch, width))


def batches(image_count: int, batch_size: int) -> np.ndarray:
    """Return image numbers in equal batches, in order; the last repeats the final image.

    Args:
        image_count: Number of images, at least 1.
        batch_size: Largest batch.

    Returns:
        int32 array (batch, image) that covers every image.

    Example:
        >>> batches(5, 2).tolist()
        [[0, 1], [2, 3], [4, 4]]
    """
    batch = min(batch_size, image_count)
    numbers = np.arange(-(-image_count // batch) * batch)
    return np.minimum(numbers, image_count - 1).reshape(-1, batch).astype(np.int32)
