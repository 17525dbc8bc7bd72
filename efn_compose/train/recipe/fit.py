"""A training from a donor to a fitted model."""

import os
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, RunError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.engine.schedules import learning_rates
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Objective
from efn_compose.train.objectives.of_options import classification
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.ahead import made_ahead
from efn_compose.train.recipe.history import EpochRecord, History
from efn_compose.train.recipe.inputs import Inputs
from efn_compose.train.recipe.rate_finder import RateCurve, find_rate
from efn_compose.train.recipe.start import starting_weights
from efn_compose.train.recipe.state import read_state, write_state
from efn_compose.train.recipe.trainer import FitWatcher, Silent, Trainer

#: The range test draws its batches from epochs that no training has.
_TEST_EPOCH = 1_000_000


@dataclass(eq=False)
class FittedModel:
    """The result of a training: a network with the kept weights.

    Args:
        trainer: Holds the network; its next training overwrites the weights there.
        donor: The weights, with all that the objective keeps: a classifier where it reads the
            pooled average and nothing stands between, as weight files describe it.
        head: All weights that stand on the backbone, by layer and role.
        history: All epochs.
        last: Weights of the last epoch, for `trainer.put`.
        best: Weights of the best epoch.
    """

    trainer: Trainer
    donor: Donor
    head: Mapping[str, np.ndarray]
    history: History
    last: dict[str, np.ndarray]
    best: dict[str, np.ndarray]

    @property
    def model(self) -> keras.Model:
        """The network, from preprocessed pixels to the objective's outputs."""
        return self.trainer.model

    def predict(self, images: PixelArray, batch_size: int = 0) -> np.ndarray:
        """Return the objective's answers for images, float32: for classes, logits (image, class).

        Args:
            images: RGB (image, height, width, 3), values 0-255; scaled here.
            batch_size: Images per pass; 0: a number that suits their size.
        """
        return self.trainer.predict(images, batch_size)


def fit(
    donor: Donor,
    data: TrainingData,
    options: TrainOptions | None = None,
    augment: AugmentOptions | None = None,
    *,
    seed: int = 1,
    metric: str | None = None,
    objective: Objective | None = None,
    state_file: str | os.PathLike[str] | None = None,
    watcher: FitWatcher | None = None,
    trainer: Trainer | None = None,
) -> FittedModel:
    """Train a donor's network on images, the way its weights were meant to be used.

    The donor's own input scaling, a minimal head, everything trainable (unless the
    options say otherwise), BatchNorm statistics re-estimated after every epoch.

    Args:
        donor: Starting weights, such as `load_donor("efn_magic_weights.h5")`.
        data: Images with labels or masks.
        options: Settings of the training; the defaults are a sound start. An objective or a trainer brings
            its own.
        augment: Random changes to each training image; by default it is mirrored.
        seed: Decides head, order, augmentation and dropout.
        metric: "auc" adds the area under the curve to the validation scores of the default
            objective.
        objective: The purpose of the training; by default to tell the data's classes apart.
        state_file: Written after every epoch. Where it exists, the training goes on from it,
            and with `deterministic` ends bit for bit as if it had not been interrupted.
        watcher: Told of updates and epochs.
        trainer: A network already built and traced for this objective and its options.

    Returns:
        The network with the weights of the last epoch, or the best, as `options.keep` says.

    Raises:
        ConfigError: Options that do not fit each other or the data.
        RunError: The loss is not finite any more; or the state file is damaged.

    Example:
        >>> fitted = fit(load_donor("magic.h5"), data, TrainOptions(epochs=5))  # doctest: +SKIP
        >>> logits = fitted.predict(images)  # doctest: +SKIP
    """
    if trainer is not None:
        if objective not in (None, trainer.objective):
            raise ConfigError("The trainer was made for another objective.")
        objective = trainer.objective
    if objective is None:
        chosen = options or TrainOptions()
        objective = classification(data.classes, chosen, metric or "accuracy")
    elif options not in (None, objective.options):
        raise ConfigError("The trainer or the objective was made for other options.")
    elif metric is not None:
        raise ConfigError("metric: a trainer or an objective has its own; give it to that one.")
    objective.check(data)  # refuses wrong data before the network is built
    return fit_inputs(
        donor,
        Inputs(data, donor, objective, augment or AugmentOptions(), seed),
        trainer or Trainer(donor, objective),
        state_file=state_file,
        watcher=watcher,
    )


def fit_inputs(
    donor: Donor,
    inputs: Inputs,
    trainer: Trainer,
    *,
    state_file: str | os.PathLike[str] | None = None,
    watcher: FitWatcher | None = None,
) -> FittedModel:
    """Train on batches that are made otherwise than `fit` makes them, by another `Inputs`.

    Args:
        donor: Starting weights.
        inputs: Data, batches and seed.
        trainer: The network, for the objective of the inputs.
        state_file: As for `fit`.
        watcher: As for `fit`.

    Raises:
        ConfigError: The inputs are of another objective.
    """
    if inputs.objective is not trainer.objective:
        raise ConfigError("These inputs were made for another objective than the trainer.")
    with trainer.kernels():
        return _fitted(donor, inputs, trainer, state_file, watcher or Silent())


def _fitted(
    donor: Donor,
    inputs: Inputs,
    trainer: Trainer,
    state_file: str | os.PathLike[str] | None,
    watcher: FitWatcher,
) -> FittedModel:
    chosen = trainer.options
    begun = starting_weights(donor, inputs, chosen)
    updates = chosen.all_epochs * inputs.updates_per_epoch
    trainer.start(begun, inputs.seed, inputs.data, updates)
    training = _Training(trainer, inputs, watcher)
    if state_file is None:
        training.run(None, {})
    else:
        identity = {
            "weights": donor.fingerprint,
            "options": repr(sorted(asdict(chosen).items())),
            **trainer.objective.identity(),
            **inputs.identity(),
        }
        training.run(Path(state_file), identity)
    trainer.put(training.best if chosen.keep == "best" else training.last)
    return FittedModel(
        trainer=trainer,
        donor=trainer.trained(begun),
        head=trainer.objective.head_arrays(trainer.model),
        history=training.history,
        last=training.last,
        best=training.best,
    )


class _Training:
    """The epochs of one training."""

    def __init__(self, trainer: Trainer, inputs: Inputs, watcher: FitWatcher) -> None:
        self.trainer, self.inputs, self.options = trainer, inputs, trainer.options
        self.watcher = watcher
        self.history = History()
        self.best: dict[str, np.ndarray] = {}
        self.last: dict[str, np.ndarray] = {}

    def run(self, state_file: Path | None, identity: dict[str, str]) -> None:
        """Make all epochs that are still to be made."""
        if not (state_file and self._resume(state_file, identity)):
            self._choose_rate()
        options, per_epoch = self.options, self.inputs.updates_per_epoch
        warm_up = np.full(options.warm_up_epochs * per_epoch, options.learning_rate)
        rates = learning_rates(options, per_epoch, self.history.learning_rate)
        rates = np.concatenate([warm_up, rates])
        for epoch in range(len(self.history.epochs), options.all_epochs):
            record = self._epoch(epoch, rates)
            self.history.epochs.append(record)
            self.history.best_epoch = self.history.best_of(self.trainer.objective.deciding)
            if self.history.best_epoch in (0, record.epoch):
                self.best = self.last
            if state_file is not None:
                self._save(state_file, identity)
            self.watcher.on_epoch(self.history)

    def _choose_rate(self) -> None:
        self.history.learning_rate = self.options.learning_rate
        if not self.options.find_rate:
            return
        curve = self._range_test()
        self.watcher.on_rates(curve)
        self.history.learning_rate = curve.rate or self.options.learning_rate

    def _range_test(self) -> RateCurve:
        """Make a range test on the training images; everything is as before afterwards."""
        size = self.options.size_in(0, self.inputs.data.size)
        per_epoch = self.inputs.updates_per_epoch
        orders = {}

        def update(number: int, rate: float) -> float:
            epoch, step = _TEST_EPOCH + number // per_epoch, number % per_epoch
            if epoch not in orders:
                orders[epoch] = self.inputs.order(epoch)
            batches = [
                self.inputs.batch(numbers, epoch, number, size) for numbers in orders[epoch][step]
            ]
            return self.trainer.step.run(batches, rate)

        trainer = self.trainer
        variables = [*trainer.model.variables, *trainer.step.optimizer.variables]
        variables += trainer.objective.variables()
        return find_rate(update, variables)

    def _epoch(self, epoch: int, rates: np.ndarray) -> EpochRecord:
        options, inputs, trainer = self.options, self.inputs, self.trainer
        begun = time.perf_counter()
        trained = epoch + 1 - options.warm_up_epochs
        is_warm_up = trained <= 0
        warm_up = trainer.warm_up if is_warm_up else None
        step = warm_up or trainer.step
        size = options.size_in(max(trained - 1, 0), inputs.data.size)
        done, losses = epoch * inputs.updates_per_epoch, []
        first = done * options.accumulate
        with closing(made_ahead(inputs, inputs.order(epoch), epoch, first, size)) as updates:
            for batches in updates:
                losses.append(step.run(batches, rates[done]))
                if not np.isfinite(losses[-1]) and options.precision != "mixed_float16":
                    raise _diverged(f"the loss of update {done + 1} is {losses[-1]}", rates[done])
                if trainer.average is not None:
                    trainer.average.update()
                done += 1
                self.watcher.on_update(done, len(rates), losses[-1])
        if is_warm_up:
            trainer.set_anchor()
        elif trainer.anchor and trained % 2 == 0:
            trainer.go_back()
        seconds = {"train": time.perf_counter() - begun}
        validation = self._score(seconds, rates[done - 1])
        return EpochRecord(
            epoch=epoch + 1,
            phase="warm_up" if is_warm_up else "train",
            size=size,
            learning_rate=float(rates[done - 1]),
            train_loss=float(np.mean(losses)),
            validation=validation,
            seconds={name: round(value, 3) for name, value in seconds.items()},
        )

    def _score(self, seconds: dict[str, float], rate: float) -> dict[str, float]:
        """Score and keep the weights: the averaged ones, if there is an average."""
        if self.trainer.average is None:
            return self._score_present(seconds, rate)
        with self.trainer.average.in_place():
            return self._score_present(seconds, rate)

    def _score_present(self, seconds: dict[str, float], rate: float) -> dict[str, float]:
        begun = time.perf_counter()
        images = self.inputs.statistics_images(self.trainer.statistics_images)
        if len(images) > 1:
            self.trainer.recalibrate(images)
        seconds["bn"] = time.perf_counter() - begun
        begun = time.perf_counter()

        def predict(images: PixelArray) -> np.ndarray:
            answers = self.trainer.predict(images)
            if not np.isfinite(answers).all():
                raise _diverged("validation outputs are not finite", rate)
            return answers

        objective = self.trainer.objective
        found, deciding = objective.scores(predict, self.inputs.data), objective.deciding.score
        if found and deciding not in found:
            raise ConfigError(
                f"{type(objective).__name__}: {deciding!r} decides which epoch is best, and is not "
                f"among its scores: {', '.join(found)}."
            )
        seconds["score"] = time.perf_counter() - begun
        self.last = self.trainer.present()
        return found

    def _save(self, path: Path, identity: dict[str, str]) -> None:
        arrays = {f"best/{name}": values for name, values in self.best.items()}
        arrays |= {f"last/{name}": values for name, values in self.last.items()}
        text = {"history": self.history.to_json(), "identity": identity}
        write_state(path, self.trainer.variables(), arrays, text)

    def _resume(self, path: Path, identity: dict[str, str]) -> bool:
        found = read_state(path, self.trainer.variables(), identity)
        if found is None:
            return False
        arrays, text = found
        self.history = History.from_json(text["history"])
        for name, values in arrays.items():
            kind, _, number = name.partition("/")
            (self.best if kind == "best" else self.last)[number] = values
        return True


def _diverged(what: str, rate: float) -> RunError:
    return RunError(
        f"Training diverged: {what}, at a learning rate of {rate:.3g}. Lower "
        "train.learning_rate, or set train.clip_norm = 1."
    )
