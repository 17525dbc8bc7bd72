"""Noisy Student: a teacher labels, a student made to struggle learns, and teaches in turn.

Xie et al. 2019, arXiv:1911.04252. The teacher looks at images as they are; the student
gets heavy augmentation, dropout and stochastic depth. Every student starts from the
same weights as the first teacher; the paper's students start at random.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from efn_compose.assess.metrics import log_softmax
from efn_compose.data.pixels import join, take
from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.of_options import classification
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.fit import FittedModel, fit
from efn_compose.train.recipe.trainer import FitWatcher, Trainer
from efn_compose.train.semi.options import SemiOptions
from efn_compose.train.semi.pseudo_labels import PseudoLabels, pseudo_labels

#: What students see unless told otherwise: RandAugment with two strong operations, and a hole.
STUDENT_AUGMENT = AugmentOptions(
    flip_x=0.5, randaugment_ops=2, randaugment_strength=0.6, holes=1, hole_size=0.25
)


@dataclass(frozen=True)
class StudentRecord:
    """One round.

    Args:
        round: 0 is the first teacher, who has labels only.
        confident: Unlabelled images the teacher was sure of.
        counts: Pseudo-labels learnt from, by class.
        validation: Scores of what came out of the round.
    """

    round: int
    confident: int
    counts: tuple[int, ...]
    validation: dict[str, float]


class Predictor(Protocol):
    """The result of a round; `FittedModel` is one."""

    history: Any

    def predict(self, images: PixelArray) -> np.ndarray:
        """Return logits (image, class) of images as they are."""
        ...


def noisy_student(
    donor: Donor,
    data: TrainingData,
    unlabelled: PixelArray,
    semi: SemiOptions | None = None,
    options: TrainOptions | None = None,
    *,
    teacher_augment: AugmentOptions | None = None,
    student_augment: AugmentOptions = STUDENT_AUGMENT,
    seed: int = 1,
    metric: str | None = None,
    state_file: str | Path | None = None,
    watcher: FitWatcher | None = None,
    on_round: Callable[[StudentRecord], None] = lambda record: None,
    trainer: Trainer | None = None,
) -> tuple[FittedModel, list[StudentRecord]]:
    """Train a teacher on labels, then students on labels and pseudo-labels.

    All rounds make `options.epochs` passes over what they learn from, the first teacher
    `semi.teacher_passes` times as many. Choose
    `options.dropout` and `options.drop_connect` for the student's noise (the paper: 0.5
    and 0.2); the first teacher has them too.

    Args:
        donor: Starting weights of every round.
        data: Labelled images, with those to validate on.
        unlabelled: (image, side, side, 3) uint8.
        semi: Rounds, and which pseudo-labels are learnt from.
        options: Of every round's training.
        teacher_augment: The first teacher's augmentation; default as in `fit`.
        student_augment: What students see.
        seed: Decides head, order, augmentation and dropout.
        metric: As for `fit`.
        state_file: As for `fit`; each round has its own, with ".round0" and so on before
            the suffix.
        watcher: As for `fit`.
        on_round: Told of each round when it is over.
        trainer: A network already built and traced for these options; it decides the scores.

    Returns:
        The last student, and one record per round.

    Raises:
        DataError: Unlabelled images of another form, or the teacher is sure of none.

    Example:
        >>> fitted, rounds = noisy_student(donor, data, unlabelled)  # doctest: +SKIP
    """
    if trainer is None:
        objective = classification(data.classes, options or TrainOptions(), metric or "accuracy")
        trainer, options, metric = Trainer(donor, objective), None, None

    def train(what: TrainingData, seen: AugmentOptions | None, number: int) -> FittedModel:
        path = None if state_file is None else Path(state_file)
        if path is not None:
            path = path.with_name(f"{path.stem}.round{number}{path.suffix}")
        return fit(
            donor,
            what,
            options,
            seen,
            seed=seed,
            metric=metric,
            state_file=path,
            watcher=watcher,
            trainer=trainer,
        )

    return run_rounds(
        data, unlabelled, semi or SemiOptions(), train, teacher_augment, student_augment, on_round
    )


def run_rounds(
    data: TrainingData,
    unlabelled: PixelArray,
    semi: SemiOptions,
    train: Callable[[TrainingData, AugmentOptions | None, int], Predictor],
    teacher_augment: AugmentOptions | None,
    student_augment: AugmentOptions,
    on_round: Callable[[StudentRecord], None] = lambda record: None,
) -> tuple[Any, list[StudentRecord]]:
    """Make the rounds of Noisy Student with any way of training.

    Args:
        data: Labelled images.
        unlabelled: (image, side, side, 3) uint8.
        semi: Rounds and pseudo-labels.
        train: From data, augmentation and the round's number to what predicts.
        teacher_augment: Of round 0.
        student_augment: Of all others.
        on_round: Told of each round.
    """
    check_unlabelled(data, unlabelled)
    fitted = train(repeated(data, semi.teacher_passes), teacher_augment, 0)
    records = [StudentRecord(0, 0, (), _scores(fitted))]
    on_round(records[0])
    for number in range(1, semi.rounds + 1):
        answers = np.exp(log_softmax(fitted.predict(unlabelled)))
        chosen = pseudo_labels(
            answers,
            labels=semi.labels,
            confidence=semi.confidence,
            balance=semi.balance,
            per_class=semi.per_class,
        )
        fitted = train(
            joined(data, unlabelled, chosen, semi.labelled_share), student_augment, number
        )
        records.append(
            StudentRecord(number, chosen.confident, tuple(chosen.counts), _scores(fitted))
        )
        on_round(records[-1])
    return fitted, records


def joined(
    data: TrainingData, unlabelled: PixelArray, chosen: PseudoLabels, labelled_share: float = 0.0
) -> TrainingData:
    """Return labelled images and chosen unlabelled ones as one set with soft labels.

    Args:
        data: Labelled images.
        unlabelled: (image, side, side, 3) uint8.
        chosen: Which of them, with what labels.
        labelled_share: Labelled images are repeated, in turn, until they are this share.
    """
    count, pseudo = len(data.train_images), len(chosen.images)
    wanted = int(np.ceil(labelled_share * pseudo / (1 - labelled_share)))
    labelled = np.resize(np.arange(count), max(count, wanted))
    return TrainingData(
        data.class_names,
        join([take(data.train_images, labelled), take(unlabelled, chosen.images)]),
        np.concatenate([data.targets[labelled], chosen.shares]),
        data.validation_images,
        data.validation_labels,
    )


def repeated(data: TrainingData, passes: int) -> TrainingData:
    """Return data whose epochs are several passes over the training images."""
    if passes == 1:
        return data
    return dataclasses.replace(
        data,
        train_images=join([data.train_images] * passes),
        train_labels=np.concatenate([data.train_labels] * passes),
        # Only folds and halves ask whose images these are.
        train_patients=None,
    )


def check_unlabelled(data: TrainingData, unlabelled: PixelArray) -> None:
    """Raise `DataError` unless unlabelled images have the form of the labelled ones."""
    wanted = data.train_images.shape[1:]
    if unlabelled.ndim != 4 or unlabelled.shape[1:] != wanted or unlabelled.dtype != np.uint8:
        raise DataError(
            f"unlabelled images must be uint8 (image, {', '.join(map(str, wanted))}). Received: "
            f"{unlabelled.dtype} {unlabelled.shape}."
        )
    if not len(unlabelled):
        raise DataError("There are no unlabelled images.")


def _scores(fitted: Predictor) -> dict[str, float]:
    epochs = fitted.history.epochs
    return dict(epochs[-1].validation) if epochs else {}
