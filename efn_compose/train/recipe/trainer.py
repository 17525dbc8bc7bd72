"""A network with its traced steps, ready for one training after another."""

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.models.memory import inference_batch
from efn_compose.models.traced_gradients import PIXELS, traced_once
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.statistics.recalibrate import passes_in_training_mode, recalibrate
from efn_compose.statistics.standardise import with_standardised_kernels
from efn_compose.store.weights.parts import refuse_parts
from efn_compose.train.engine.determinism import deterministic_kernels
from efn_compose.train.engine.forward import Forward
from efn_compose.train.engine.head_start import classifier_input, head_numbers
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.backbone import norm_variables, trained_donor
from efn_compose.train.objectives.objective import Objective
from efn_compose.train.recipe.average import MovingAverage, assign_all, step_back
from efn_compose.train.recipe.history import History
from efn_compose.train.recipe.inputs import resized
from efn_compose.train.recipe.optimizers.table import make_optimizer
from efn_compose.train.recipe.rate_finder import RateCurve
from efn_compose.train.recipe.start import starting_network
from efn_compose.train.recipe.step import UpdateStep


class FitWatcher(Protocol):
    """Sees a training go on."""

    def on_update(self, done: int, planned: int, loss: float) -> None:
        """An update was made; `planned` is the training's number of updates."""

    def on_epoch(self, history: History) -> None:
        """An epoch is over, scored and on the disk: the history's last one."""

    def on_rates(self, curve: RateCurve) -> None:
        """A range test is over."""


class Silent:
    """A watcher that looks away."""

    def on_update(self, done: int, planned: int, loss: float) -> None:
        """Do nothing."""

    def on_epoch(self, history: History) -> None:
        """Do nothing."""

    def on_rates(self, curve: RateCurve) -> None:
        """Do nothing."""


class Trainer:
    """Everything of a training that takes long to build and trace, and its state.

    Building and tracing take up to a minute; `start` takes a moment, forgets all, and begins
    another training of the same network for the same objective.

    Args:
        donor: Names the network and its conventions; its weights are not used yet.
        objective: The purpose of the training; its options are the training's settings.

    Example:
        >>> trainer = Trainer(donor, Classification(10, TrainOptions()))  # doctest: +SKIP
        >>> fit(donor, data, trainer=trainer, seed=1)  # doctest: +SKIP
        >>> fit(donor, data, trainer=trainer, seed=2)  # doctest: +SKIP
    """

    def __init__(self, donor: Donor, objective: Objective) -> None:
        options = objective.options
        donor = starting_network(donor, options)
        self.spec, self.conventions = donor.spec, donor.conventions
        self.objective, self.options = objective, options
        self.model = objective.build(donor)
        self.average = MovingAverage(self.model, options.ema) if options.ema else None
        objective.bind(self.model, self.average.values if self.average is not None else ())

        def make_step(variables: list[Any]) -> UpdateStep:
            optimizer = make_optimizer(options, options.learning_rate)
            return UpdateStep(self.model, objective, optimizer, variables)

        self.step = make_step([*self.model.trainable_variables, *objective.learnt_beside()])
        #: Another traced step: what learns cannot be switched in one that is traced.
        self.warm_up: UpdateStep | None = None
        if options.warm_up_epochs:
            self.warm_up = make_step(norm_variables(self.model))
        self._weights = [variable.value for variable in self.model.trainable_variables]
        self.anchor: list[tf.Variable] = []
        if options.schedule == "two_forward_one_back":
            self.anchor = [tf.Variable(weight, trainable=False) for weight in self._weights]
        self._forward = Forward(
            lambda x: objective.infer(self.model, x), self.spec, self.conventions
        )
        # Traced inside `recalibrate`, which turns dropout off; used nowhere else.
        self._statistics = traced_once(lambda x: self.model(x, training=True), PIXELS)
        #: The features that the classifier reads, traced where a head begins with them.
        self._features: Any = None

    def kernels(self) -> AbstractContextManager[None]:
        """Let TensorFlow compute, within a `with` block, as the options want; as before after it."""
        return deterministic_kernels(self.options.deterministic)

    def start(self, donor: Donor, seed: int, data: TrainingData, updates: int) -> None:
        """Begin a training; nothing is left of the one before.

        Args:
            donor: Starting weights.
            seed: Decides a fresh head and the dropout masks.
            data: Images with labels or masks.
            updates: How many updates the training will make.

        Raises:
            ConfigError: The donor is of another network, or wants to be run otherwise.
            FurtherPartError: The donor has a part that the objective does not train.
        """
        if not donor.spec.same_tensors_as(self.spec) or donor.conventions != self.conventions:
            raise ConfigError(
                f"{donor.name} ({donor.spec.variant}) does not fit a trainer of "
                f"{self.spec.variant}: another network, or other conventions. Make a new Trainer."
            )
        others = [name for name in donor.parts if name not in self.objective.parts]
        refuse_parts(donor.name, others, "this training")
        self.objective.start(self.model, donor, seed)
        if self.objective.begins_at_images(self.model, donor):
            self._start_head(data)
        self.objective.begin(data, updates)
        options = self.options
        self.step.start(updates * options.warm_up_epochs // max(options.all_epochs, 1))
        if self.warm_up is not None:
            self.warm_up.start()
        if self.average is not None:
            self.average.start()
        self.set_anchor()

    def _start_head(self, data: TrainingData) -> None:
        """Let the head begin at the features that the first epoch's training sees."""
        numbers = head_numbers(len(data.train_images))
        images = resized(data.train_images[numbers], self.options.size_in(0, data.size))
        # Elsewhere BatchNorm runs on the statistics that it keeps, in training as in use.
        in_training = self.options.takes_batch_statistics
        if self._features is None:
            network = keras.Model(self.model.input, classifier_input(self.model))
            self._features = traced_once(lambda x: network(x, training=in_training), PIXELS)
        if len(images) < 2:
            return

        def forward(batch: np.ndarray) -> np.ndarray:
            return self._features(self.scaled(batch)).numpy()

        size = self.pass_size(int(images.shape[1]))
        if in_training:
            begun = self.present()
            passes = passes_in_training_mode(self.model, images, batch_size=size, forward=forward)
            parts = [found for _, found in passes]
            # The passes left their statistics behind.
            self.put(begun)
        else:
            parts = [forward(images[n : n + size]) for n in range(0, len(images), size)]
        features = np.concatenate(parts).astype(np.float32)
        self.objective.start_head(self.model, features, self.objective.targets(data)[numbers])

    def set_epochs(self, epochs: int) -> None:
        """Give the trainings that follow another length: nothing that is traced knows it.

        Args:
            epochs: Passes over the training images, warm-up not counted.
        """
        options = dataclasses.replace(self.options, epochs=epochs)
        self.options = self.objective.options = options

    def set_anchor(self) -> None:
        """Let "two_forward_one_back" go back to here."""
        if self.anchor:
            assign_all(self.anchor, self._weights)

    def go_back(self) -> None:
        """Go half of the way back to the anchor, which moves there too."""
        step_back(self._weights, self.anchor)

    def variables(self) -> dict[str, list[Any]]:
        """Return all that a training changes, by group, in a fixed order."""
        groups = {"model": self.model.variables, "optimizer": self.step.optimizer.variables}
        if self.warm_up is not None:
            groups["warm_up"] = self.warm_up.optimizer.variables
        if self.average is not None:
            groups["average"] = [*self.average.values, self.average.updates]
        if self.anchor:
            groups["anchor"] = self.anchor
        if own := self.objective.variables():
            groups["objective"] = own
        return groups

    def present(self) -> dict[str, np.ndarray]:
        """Return copies of the network's present values, for `put`."""
        return {
            str(n): np.array(variable.numpy()) for n, variable in enumerate(self.model.variables)
        }

    def put(self, values: dict[str, np.ndarray]) -> None:
        """Put values of `present` into the network."""
        for number, variable in enumerate(self.model.variables):
            variable.assign(values[str(number)])

    def trained(self, donor: Donor) -> Donor:
        """Return the network's present weights as a donor.

        Args:
            donor: Where they came from.
        """
        kept, parts = self.objective.kept(self.model), self.objective.kept_parts(self.model)
        found = trained_donor(self.model, starting_network(donor, self.options), kept, parts)
        if self.options.normalisation == "standardised":
            # Plain convolutions with these kernels compute what the network here computes.
            return with_standardised_kernels(found)
        return found

    def beside(self) -> Mapping[str, np.ndarray]:
        """Return the weights on the backbone where the donor of `trained` does not hold them all."""
        arrays = self.objective.head_arrays(self.model)
        return {} if arrays.keys() <= self.objective.kept(self.model).keys() else arrays

    @property
    def statistics_images(self) -> int:
        """Training images that BatchNorm is re-estimated on after every epoch; 0: none."""
        options = self.options
        if options.frozen_backbone and norm_variables(self.model):
            # What stands on the backbone, such as a decoder, learns and has statistics of its own.
            return options.recalibrate_images
        return options.statistics_images

    def recalibrate(self, images: PixelArray) -> None:
        """Re-estimate BatchNorm statistics, but for a frozen backbone's; GroupNorm has none.

        Args:
            images: uint8 (image, side, side, 3), two or more.
        """
        with self.kernels():
            recalibrate(
                self.model,
                images,
                batch_size=self.pass_size(int(images.shape[1])),
                forward=lambda batch: self._statistics(self.scaled(batch)),
                keeps_frozen=self.options.frozen_backbone,
            )

    def pass_size(self, side: int) -> int:
        """Return how many images of a side pass at once where no gradient is needed."""
        return inference_batch(self.spec, side)

    def scaled(self, images: Any) -> tf.Tensor:
        """Return images, values 0-255, as the network wants them."""
        return self._forward.scaled(images)

    def predict(self, images: PixelArray, batch_size: int = 0) -> np.ndarray:
        """Return the objective's answers for images, float32: for classes, logits (image, class).

        Args:
            images: RGB (image, height, width, 3), values 0-255.
            batch_size: Images per pass; 0: a number that suits their size.
        """
        with self.kernels():
            return self._forward(images, batch_size)
