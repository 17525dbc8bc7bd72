"""One face for all ways of training, with unlabelled images or without."""

import dataclasses
from pathlib import Path

from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.of_options import classification
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.fit import FittedModel, fit
from efn_compose.train.recipe.trainer import FitWatcher, Trainer
from efn_compose.train.semi.mean_teacher import MeanTeacher, mean_teacher
from efn_compose.train.semi.noisy_student import STUDENT_AUGMENT, noisy_student
from efn_compose.train.semi.options import SemiOptions


def make_trainer(
    donor: Donor,
    classes: int,
    options: TrainOptions,
    semi: SemiOptions,
    metric: str = "accuracy",
) -> Trainer:
    """Return the trainer that a method needs, not yet traced.

    Args:
        donor: Names the network.
        classes: Width of the classifier.
        options: Of the training.
        semi: The method.
        metric: "auc" adds the area under the curve to the validation scores.
    """
    if semi.method == "mean-teacher":
        return Trainer(donor, MeanTeacher(classes, options, semi, metric))
    return Trainer(donor, classification(classes, options, metric))


def fit_with_unlabelled(
    donor: Donor,
    data: TrainingData,
    unlabelled: PixelArray | None,
    semi: SemiOptions,
    trainer: Trainer,
    augment: AugmentOptions,
    *,
    seed: int,
    state_file: Path | None = None,
    watcher: FitWatcher | None = None,
) -> FittedModel:
    """Train as `semi.method` says; with "none" as `fit` does.

    Args:
        donor: Starting weights.
        data: Labelled images, with those to validate on.
        unlabelled: (image, side, side, 3) uint8; None with "none".
        semi: The method.
        trainer: Of `make_trainer`.
        augment: What training images are subjected to. Students of "noisy-student" get
            RandAugment and a hole as well where it does no more than mirror.
        seed: As for `fit`.
        state_file: As for `fit`.
        watcher: As for `fit`.

    Raises:
        DataError: A method other than "none", and no unlabelled images.
    """
    if semi.method == "none":
        return fit(
            donor,
            data,
            augment=augment,
            seed=seed,
            state_file=state_file,
            watcher=watcher,
            trainer=trainer,
        )
    if unlabelled is None:
        raise DataError(f"semi.method is {semi.method!r}, but there are no unlabelled images.")
    if semi.method == "mean-teacher":
        return mean_teacher(
            donor,
            data,
            unlabelled,
            semi,
            augment=augment,
            seed=seed,
            state_file=state_file,
            watcher=watcher,
            trainer=trainer,
        )
    fitted, _ = noisy_student(
        donor,
        data,
        unlabelled,
        semi,
        teacher_augment=augment,
        student_augment=student_augment(augment),
        seed=seed,
        state_file=state_file,
        watcher=watcher,
        trainer=trainer,
    )
    return fitted


def student_augment(augment: AugmentOptions) -> AugmentOptions:
    """Return the augmentation of students: the given one, or a stronger one if that only mirrors.

    Example:
        >>> student_augment(AugmentOptions(flip_x=0.0)).randaugment_ops
        2
        >>> student_augment(AugmentOptions(rotation=20)).randaugment_ops
        0
    """

    def mirrored(options: AugmentOptions) -> AugmentOptions:
        return dataclasses.replace(options, flip_x=augment.flip_x, flip_y=augment.flip_y)

    return mirrored(STUDENT_AUGMENT) if augment == mirrored(AugmentOptions()) else augment
