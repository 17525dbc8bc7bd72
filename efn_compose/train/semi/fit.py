"""One face for all ways of training, with unlabelled images or without."""

import dataclasses
from pathlib import Path

import numpy as np

from efn_compose.donors import Donor
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.recipe.fit import FittedModel, fit
from efn_compose.train.recipe.inputs import TrainingData
from efn_compose.train.recipe.options import TrainOptions
from efn_compose.train.recipe.trainer import FitWatcher, Trainer
from efn_compose.train.semi.mean_teacher import (
    MeanTeacherTrainer,
    mean_teacher,
    teacher_options,
)
from efn_compose.train.semi.noisy_student import STUDENT_AUGMENT, noisy_student
from efn_compose.train.semi.options import SemiOptions


def make_trainer(donor: Donor, classes: int, options: TrainOptions, semi: SemiOptions) -> Trainer:
    """Return the trainer that a method needs, not yet traced.

    Args:
        donor: Names the network.
        classes: Width of the classifier.
        options: Of the training.
        semi: The method.
    """
    if semi.method == "mean-teacher":
        return MeanTeacherTrainer(donor, classes, teacher_options(options, semi))
    return Trainer(donor, classes, options)


def fit_with_unlabelled(
    donor: Donor,
    data: TrainingData,
    unlabelled: np.ndarray,
    semi: SemiOptions,
    options: TrainOptions,
    augment: AugmentOptions,
    *,
    seed: int,
    metric: str = "accuracy",
    state_file: Path | None = None,
    watcher: FitWatcher | None = None,
    trainer: Trainer | None = None,
) -> FittedModel:
    """Train as `semi.method` says; with "none" as `fit` does.

    Args:
        donor: Starting weights.
        data: Labelled images, with those to validate on.
        unlabelled: (image, side, side, 3) uint8; not looked at with "none".
        semi: The method.
        options: Of the training.
        augment: What training images are subjected to. Students of "noisy-student" get
            RandAugment and a hole as well where it does no more than mirror.
        seed: As for `fit`.
        metric: As for `fit`.
        state_file: As for `fit`.
        watcher: As for `fit`.
        trainer: Of `make_trainer`.
    """
    common = {
        "seed": seed,
        "metric": metric,
        "state_file": state_file,
        "watcher": watcher,
        "trainer": trainer,
    }
    if semi.method == "mean-teacher":
        return mean_teacher(donor, data, unlabelled, semi, options, augment, **common)
    if semi.method == "noisy-student":
        fitted, _ = noisy_student(
            donor,
            data,
            unlabelled,
            semi,
            options,
            teacher_augment=augment,
            student_augment=student_augment(augment),
            **common,
        )
        return fitted
    return fit(donor, data, options, augment, **common)


def student_augment(augment: AugmentOptions) -> AugmentOptions:
    """Return what students see: what was asked for, or more where that only mirrors.

    Example:
        >>> student_augment(AugmentOptions(flip_x=0.0)).randaugment_ops
        2
        >>> student_augment(AugmentOptions(rotation=20)).randaugment_ops
        0
    """
    mirrors = {"flip_x": augment.flip_x, "flip_y": augment.flip_y}
    only_mirrors = augment == dataclasses.replace(AugmentOptions(), **mirrors)
    return dataclasses.replace(STUDENT_AUGMENT, **mirrors) if only_mirrors else augment
