"""Mean Teacher: a network that agrees with the moving average of its own weights.

Tarvainen and Valpola 2017, arXiv:1703.01780. Every batch has labelled and unlabelled
images, and each image two views. The network sees the first, the average of its weights
the second, with dropout masks of its own; the distance of their probabilities is
added to the loss of the labelled images, with a weight that rises over the first updates.
The average is scored and kept.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from efn_compose.data.pixels import JoinedImages
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.classification import Classification
from efn_compose.train.objectives.objective import Seen
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.fit import FittedModel, fit_inputs
from efn_compose.train.recipe.inputs import Inputs, drawn
from efn_compose.train.recipe.trainer import FitWatcher, Trainer
from efn_compose.train.semi.noisy_student import check_unlabelled
from efn_compose.train.semi.options import SemiOptions

#: Decay of the teacher's average where `train.ema` names none.
TEACHER_DECAY = 0.99
#: The teacher's dropout masks come from a generator that is this far ahead.
_AHEAD = 1 << 40


def mean_teacher(
    donor: Donor,
    data: TrainingData,
    unlabelled: PixelArray,
    semi: SemiOptions | None = None,
    options: TrainOptions | None = None,
    augment: AugmentOptions | None = None,
    *,
    seed: int = 1,
    metric: str | None = None,
    state_file: str | Path | None = None,
    watcher: FitWatcher | None = None,
    trainer: Trainer | None = None,
) -> FittedModel:
    """Train on labelled and unlabelled images together; an epoch is one pass over the latter.

    Args:
        donor: Starting weights.
        data: Labelled images, with those to validate on.
        unlabelled: (image, side, side, 3) uint8.
        semi: Weight and rise of the consistency, share of labelled images in a batch.
        options: Of the training; without `ema`, `TEACHER_DECAY` is taken.
        augment: Random changes to each view; default as in `fit`.
        seed: Decides head, order, augmentation and dropout.
        metric: As for `fit`.
        state_file: As for `fit`.
        watcher: As for `fit`.
        trainer: One of a `MeanTeacher`, already traced; it decides the scores.

    Returns:
        The network with the teacher's weights.

    Raises:
        ConfigError: MixUp, CutMix or AugMix, which compare other things than two views; or a
            trainer of another objective or other options.
        DataError: Unlabelled images of another form.

    Example:
        >>> fitted = mean_teacher(donor, data, unlabelled)  # doctest: +SKIP
    """
    check_unlabelled(data, unlabelled)
    if trainer is None:
        objective = MeanTeacher(data.classes, options, semi, metric or "accuracy")
        trainer = Trainer(donor, objective)
    elif isinstance(trainer.objective, MeanTeacher):
        objective = trainer.objective
        objective.refuse_others(options, semi)
    else:
        raise ConfigError("The trainer is not one of a MeanTeacher.")
    objective.check(data)
    inputs = PairedInputs(data, unlabelled, donor, objective, augment or AugmentOptions(), seed)
    return fit_inputs(donor, inputs, trainer, state_file=state_file, watcher=watcher)


def teacher_options(options: TrainOptions) -> TrainOptions:
    """Return options under which an average is kept.

    Raises:
        ConfigError: The options mix images, or a batch has no room for images of both kinds.
    """
    if options.batch_size < 2:
        raise ConfigError(
            "Mean Teacher needs labelled and unlabelled images in every batch; set train.batch_size to 2 or "
            f"more. Received: {options.batch_size}."
        )
    if options.mixup or options.cutmix or options.augmix or options.advprop:
        raise ConfigError(
            "Mean Teacher compares two views of one image; set train.mixup, train.cutmix, "
            "train.augmix and train.advprop to 0."
        )
    return options if options.ema else dataclasses.replace(options, ema=TEACHER_DECAY)


class PairedInputs(Inputs):
    """Batches of labelled and unlabelled images, two views of each.

    The targets of unlabelled images are all 0.

    Args:
        data: Labelled images.
        unlabelled: (image, side, side, 3) uint8; numbered behind the labelled ones.
        donor: As for `Inputs`.
        objective: Says which share of a batch is labelled.
        augment_options: As for `Inputs`.
        seed: As for `Inputs`.
    """

    def __init__(
        self,
        data: TrainingData,
        unlabelled: PixelArray,
        donor: Donor,
        objective: "MeanTeacher",
        augment_options: AugmentOptions,
        seed: int,
    ) -> None:
        super().__init__(data, donor, objective, augment_options, seed)
        self.unlabelled = unlabelled
        self._images = JoinedImages([data.train_images, unlabelled])
        wanted = min(objective.options.batch_size, len(data.train_images) + len(unlabelled))
        share = objective.semi.labelled_share
        self.labelled = int(np.clip(round(wanted * share), 1, wanted - 1))
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

    def statistics_images(self, count: int) -> PixelArray:
        """Return unlabelled images: there are more of them, and they need no labels here."""
        return drawn(self.unlabelled, count, self.seed)

    def _wanted(self, numbers: np.ndarray) -> np.ndarray:
        known = numbers[numbers < len(self.data.train_images)]
        targets = np.zeros((len(numbers), *self._targets.shape[1:]), self._targets.dtype)
        targets[: len(known)] = self._targets[known]
        return targets

    def _everything(self) -> list[PixelArray]:
        return [*super()._everything(), self.unlabelled]


class MeanTeacher(Classification):
    """The loss of the labelled images, and the distance to the averaged network's predictions.

    Args:
        classes: As for `Classification`.
        options: As for `Classification`; without `ema`, `TEACHER_DECAY` is taken.
        semi: Weight and rise of the consistency, share of labelled images in a batch.
        metric: As for `Classification`.

    Raises:
        ConfigError: MixUp, CutMix or AugMix.

    Example:
        >>> MeanTeacher(10, TrainOptions(ema=0.9)).options.ema
        0.9
    """

    views = 2

    def __init__(
        self,
        classes: int,
        options: TrainOptions | None = None,
        semi: SemiOptions | None = None,
        metric: str = "accuracy",
    ) -> None:
        self.semi = semi or SemiOptions()
        super().__init__(classes, teacher_options(options or TrainOptions()), metric)
        #: Updates over which the consistency's weight rises, set by `begin`.
        self.rise = tf.Variable(0.0, trainable=False)
        self._teacher: Sequence[tf.Variable] = ()

    def refuse_others(self, options: TrainOptions | None, semi: SemiOptions | None) -> None:
        """Raise `ConfigError` where other options are asked for than this objective was made with."""
        wanted = self.options if options is None else teacher_options(options)
        if semi not in (None, self.semi) or wanted != self.options:
            raise ConfigError("The trainer was made for other options.")

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Take the average as the teacher."""
        self._teacher = average

    def identity(self) -> dict[str, str]:
        """Return what decides a training beside its options and its images."""
        return {"objective": "MeanTeacher", "semi": repr(self.semi)}

    def begin(self, data: TrainingData, updates: int) -> None:
        """Weigh the classes, and let the consistency rise over a share of the updates."""
        super().begin(data, updates)
        self.rise.assign(self.semi.ramp_up * updates)

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return both views of each image."""
        return seen.pixels, seen.targets

    def teach(self, model: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
        """Return the teacher's logits: batch statistics, masks of its own, nothing remembered."""
        rest = [
            variable.value + tf.constant([0, _AHEAD], variable.value.dtype)
            if variable.path.endswith("seed_generator_state")
            else variable.value
            for variable in model.non_trainable_variables
        ]
        weights = [tf.convert_to_tensor(value) for value in self._teacher]
        return model.stateless_call(weights, rest, pixels, training=True)[0]

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the loss of the labelled images and the distance to the teacher."""
        first, second = tf.split(pixels, 2)
        wanted = tf.stop_gradient(tf.nn.softmax(tf.cast(self.teach(model, second), tf.float32)))
        is_labelled = tf.cast(tf.reduce_sum(targets, axis=1) > 0, tf.float32)
        logits = tf.cast(model(first, training=True), tf.float32)
        known = self.losses(logits, targets) * is_labelled
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        supervised = tf.reduce_sum(known) * count / tf.maximum(tf.reduce_sum(is_labelled), 1.0)
        distance = tf.reduce_sum((tf.nn.softmax(logits) - wanted) ** 2)
        return supervised + self.semi.consistency * ramp(updates, self.rise) * distance


def ramp(updates: tf.Tensor | float, rise: tf.Tensor | float) -> tf.Tensor:
    """Return the share of the full weight after a number of updates: exp(-5 (1 - t)^2), then 1.

    Example:
        >>> [round(float(ramp(float(update), 4.0)), 4) for update in range(6)]
        [0.0067, 0.0601, 0.2865, 0.7316, 1.0, 1.0]
    """
    rise = tf.cast(rise, tf.float32)
    passed = tf.minimum(tf.cast(updates, tf.float32) / tf.maximum(rise, 1e-9), 1.0)
    passed = tf.where(rise > 0, passed, 1.0)
    return tf.exp(-5 * (1 - passed) ** 2)
