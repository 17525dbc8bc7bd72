"""Mean Teacher: a network that agrees with the moving average of its own weights.

Tarvainen and Valpola 2017, arXiv:1703.01780. Every batch has labelled and unlabelled
images, and each image two views. The network sees the first, the average of its weights
the second, with dropout masks of its own; the distance of their probabilities is
added to the loss of the labelled images, with a weight that rises over the first updates.
The average is what is scored and kept.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.recipe.fit import FittedModel, fit_inputs
from efn_compose.train.recipe.inputs import Inputs, TrainingData, drawn
from efn_compose.train.recipe.losses import image_losses
from efn_compose.train.recipe.options import TrainOptions
from efn_compose.train.recipe.step import UpdateStep
from efn_compose.train.recipe.trainer import FitWatcher, Trainer
from efn_compose.train.semi.noisy_student import check_unlabelled
from efn_compose.train.semi.options import SemiOptions

#: The second view's draws are those of another seed.
_SECOND_VIEW = 104_729
#: The teacher's dropout masks are those of a generator that is this far ahead.
_AHEAD = 1 << 40


def mean_teacher(
    donor: Donor,
    data: TrainingData,
    unlabelled: np.ndarray,
    semi: SemiOptions | None = None,
    options: TrainOptions | None = None,
    augment: AugmentOptions | None = None,
    *,
    seed: int = 1,
    metric: str = "accuracy",
    state_file: str | Path | None = None,
    watcher: FitWatcher | None = None,
    trainer: "MeanTeacherTrainer | None" = None,
) -> FittedModel:
    """Train on labelled and unlabelled images together; an epoch is one pass over the latter.

    Args:
        donor: Starting weights.
        data: Labelled images, with those to validate on.
        unlabelled: (image, side, side, 3) uint8.
        semi: Weight and rise of the consistency, share of labelled images in a batch.
        options: Of the training; without `ema`, `semi.decay` is taken.
        augment: What is done to each view; default as in `fit`.
        seed: Decides head, order, augmentation and dropout.
        metric: As for `fit`.
        state_file: As for `fit`.
        watcher: As for `fit`.
        trainer: One of `make_trainer`, already traced for these options.

    Returns:
        The network with the teacher's weights.

    Raises:
        ConfigError: MixUp, CutMix or AugMix, which compare other things than two views.
        DataError: Unlabelled images of another form.

    Example:
        >>> fitted = mean_teacher(donor, data, unlabelled)  # doctest: +SKIP
    """
    semi, chosen = (
        semi or SemiOptions(),
        teacher_options(options or TrainOptions(), semi or SemiOptions()),
    )
    check_unlabelled(data, unlabelled)
    inputs = PairedInputs(
        data, unlabelled, donor, chosen, augment or AugmentOptions(), seed, semi.labelled_share
    )
    trainer = trainer or MeanTeacherTrainer(donor, data.classes, chosen)
    if (trainer.options, trainer.classes) != (chosen, data.classes):
        raise ConfigError("The trainer was made for other options or another number of classes.")
    updates = chosen.all_epochs * inputs.updates_per_epoch
    trainer.set_consistency(semi.consistency, semi.ramp_up * updates)
    return fit_inputs(donor, inputs, trainer, metric=metric, state_file=state_file, watcher=watcher)


def teacher_options(options: TrainOptions, semi: SemiOptions) -> TrainOptions:
    """Return options under which an average is kept.

    Raises:
        ConfigError: The options mix images.
    """
    if options.mixup or options.cutmix or options.augmix:
        raise ConfigError(
            "Mean Teacher compares two views of one image; set train.mixup, train.cutmix and "
            "train.augmix to 0."
        )
    return options if options.ema else dataclasses.replace(options, ema=semi.decay)


class PairedInputs(Inputs):
    """Batches of labelled and unlabelled images, two views of each.

    The targets of unlabelled images are all 0.

    Args:
        data: Labelled images.
        unlabelled: (image, side, side, 3) uint8; numbered behind the labelled ones.
        donor: As for `Inputs`.
        options: As for `Inputs`.
        augment_options: As for `Inputs`.
        seed: As for `Inputs`.
        labelled_share: Of each batch.
    """

    def __init__(
        self,
        data: TrainingData,
        unlabelled: np.ndarray,
        donor: Donor,
        options: TrainOptions,
        augment_options: AugmentOptions,
        seed: int,
        labelled_share: float,
    ) -> None:
        super().__init__(data, donor, options, augment_options, seed)
        self.unlabelled = unlabelled
        wanted = min(options.batch_size, len(data.train_images) + len(unlabelled))
        self.labelled = int(np.clip(round(wanted * labelled_share), 1, wanted - 1))
        # The batch as far as epochs are counted: one pass over the unlabelled images.
        self._batch = min(wanted - self.labelled, len(unlabelled))

    @property
    def updates_per_epoch(self) -> int:
        """Updates of one pass over the unlabelled images."""
        return -(-(len(self.unlabelled) // self._batch) // self._options.accumulate)

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the image numbers of every update, (batch, image): labelled ones first."""
        count = len(self.data.train_images)
        generator = np.random.default_rng([self.seed, 2, epoch])
        batches = len(self.unlabelled) // self._batch
        order = generator.permutation(len(self.unlabelled))[: batches * self._batch]
        shuffles = [
            generator.permutation(count) for _ in range(-(-batches * self.labelled // count))
        ]
        known = np.concatenate(shuffles)[: batches * self.labelled].reshape(batches, -1)
        whole = np.concatenate([known, count + order.reshape(batches, -1)], axis=1)
        step = self._options.accumulate
        return [whole[start : start + step] for start in range(0, batches, step)]

    def statistics_images(self, count: int) -> np.ndarray:
        """Return unlabelled images: there are more of them, and they need no labels here."""
        return drawn(self.unlabelled, count, self.seed)

    def _chosen(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = len(self.data.train_images)
        known, unknown = numbers[numbers < count], numbers[numbers >= count] - count
        images = np.concatenate([self.data.train_images[known], self.unlabelled[unknown]])
        targets = np.zeros((len(numbers), self.data.classes), np.float32)
        targets[: len(known)] = self._targets[known]
        return images, np.int64(numbers), targets

    def _prepare(
        self, images: Any, numbers: Any, targets: Any, epoch: Any, step: Any, size: int
    ) -> tuple[Any, Any]:
        x = tf.cast(images, tf.float32)
        if size != self.data.size:
            x = tf.image.resize(x, (size, size), antialias=True)
        views = [
            augment(x, numbers, self._augment, seed=self.seed + extra, epoch=epoch)
            for extra in (0, _SECOND_VIEW)
        ]
        return (tf.concat(views, axis=0) - self._mean) * self._scale, targets

    def _everything(self) -> list[np.ndarray]:
        return [*super()._everything(), self.unlabelled]


class MeanTeacherStep(UpdateStep):
    """An update whose loss is that of the labelled images and the distance to the teacher.

    `trainer` sets `teacher`, the average's values, before the first update.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        variables: Sequence[Any],
        options: TrainOptions,
    ) -> None:
        super().__init__(model, optimizer, variables, options)
        self.teacher: list[tf.Variable] = []
        self.updates = tf.Variable(0.0, trainable=False)
        self.weight = tf.Variable(0.0, trainable=False)
        self.rise = tf.Variable(0.0, trainable=False)

    def start(self, class_weights: np.ndarray) -> None:
        """Forget the training before."""
        super().start(class_weights)
        self.updates.assign(0.0)

    def run(self, batches: Sequence[tuple[tf.Tensor, tf.Tensor]], rate: float) -> float:
        """Make one update; the consistency's weight is that of the updates before it."""
        loss = super().run(batches, rate)
        self.updates.assign_add(1.0)
        return loss

    def consistency_weight(self) -> tf.Tensor:
        """Return the present weight of the consistency."""
        return self.weight * ramp(self.updates, self.rise)

    def teach(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return the teacher's logits: batch statistics, masks of its own, nothing remembered."""
        rest = [
            variable.value + tf.constant([0, _AHEAD], variable.value.dtype)
            if variable.path.endswith("seed_generator_state")
            else variable.value
            for variable in self.model.non_trainable_variables
        ]
        weights = [tf.convert_to_tensor(value) for value in self.teacher]
        return self.model.stateless_call(weights, rest, pixels, training=True)[0]

    def _gradients(self, pixels: Any, targets: Any, scale: Any) -> tuple[Any, list[Any]]:
        options = self.options
        first, second = tf.split(pixels, 2)
        wanted = tf.stop_gradient(tf.nn.softmax(tf.cast(self.teach(second), tf.float32)))
        is_labelled = tf.cast(tf.reduce_sum(targets, axis=1) > 0, tf.float32)
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(first, training=True), tf.float32)
            known = image_losses(
                logits,
                targets,
                smoothing=options.label_smoothing,
                focal_gamma=options.focal_gamma,
            )
            known *= tf.linalg.matvec(targets, self.class_weights) * is_labelled
            count = tf.cast(tf.shape(targets)[0], tf.float32)
            supervised = tf.reduce_sum(known) * count / tf.maximum(tf.reduce_sum(is_labelled), 1.0)
            distance = tf.reduce_sum((tf.nn.softmax(logits) - wanted) ** 2)
            loss = (supervised + self.consistency_weight() * distance) * scale
            scaled = self.optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, [variable.value for variable in self.variables])


class MeanTeacherTrainer(Trainer):
    """A trainer whose steps agree with the average it keeps.

    Args:
        donor: As for `Trainer`.
        classes: As for `Trainer`.
        options: With an `ema`, see `teacher_options`.
    """

    def __init__(self, donor: Donor, classes: int, options: TrainOptions) -> None:
        super().__init__(donor, classes, options, MeanTeacherStep)
        if self.average is None:
            raise ConfigError("Mean Teacher needs an average: set train.ema, such as 0.99.")
        self._steps = [step for step in (self.step, self.warm_up) if step is not None]
        for step in self._steps:
            step.teacher = self.average.values

    def set_consistency(self, weight: float, rise: float) -> None:
        """Set the consistency's weight, and the updates over which it rises."""
        for step in self._steps:
            step.weight.assign(weight)
            step.rise.assign(rise)

    def variables(self) -> dict[str, list[Any]]:
        """Return all that a training changes, the steps' counts among it."""
        return super().variables() | {"consistency": [step.updates for step in self._steps]}


def ramp(updates: tf.Tensor | float, rise: tf.Tensor | float) -> tf.Tensor:
    """Return the share of the full weight after so many updates: exp(-5 (1 - t)^2), then 1.

    Example:
        >>> [round(float(ramp(float(update), 4.0)), 4) for update in range(6)]
        [0.0067, 0.0601, 0.2865, 0.7316, 1.0, 1.0]
    """
    rise = tf.cast(rise, tf.float32)
    passed = tf.minimum(tf.cast(updates, tf.float32) / tf.maximum(rise, 1e-9), 1.0)
    passed = tf.where(rise > 0, passed, 1.0)
    return tf.exp(-5 * (1 - passed) ** 2)
