"""One data set and one pipeline seed of the scoreboard: trains, scores, and keeps what arms share."""

import dataclasses
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from efn_compose.assess.metrics import log_softmax
from efn_compose.compose import Recipe, genome_space
from efn_compose.data.dataset import DataSet
from efn_compose.donors import Donor
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import Evaluator
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask
from efn_compose.soups.learned import SoupLearner
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.train.resident.resident import batches

Tensors = Mapping[str, np.ndarray]


@dataclass
class Bench:
    """One data set and one pipeline seed.

    Args:
        evaluator: Holds the data and the traced model.
        data: The images.
        given: Harmonised, headless donors of one network.
        config: The experiment's options, those of its setting included.
        seed: Of the pipeline: order, heads, search.
        absorb: Which part of the donors is written over the training images' statistics before
            every arm.
        rate: Learning rate of every training that makes starting weights.
    """

    evaluator: Evaluator
    data: DataSet
    given: Sequence[Donor]
    config: Mapping[str, Any]
    seed: int
    absorb: str = "never"
    rate: float = 0.0
    _variations: dict[tuple[str, float], "Bench"] = field(default_factory=dict)
    _absorbed: dict[str, Sequence[Donor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rate = self.rate or self.evaluator.setup.fitness.learning_rate

    def variation(self, absorb: str, rate: float) -> "Bench":
        """Return the bench of the same data and seed with other donors or another rate."""
        key = absorb, rate
        if key not in self._variations:
            own = dataclasses.replace(self, absorb=absorb, rate=rate, _variations={})
            self._variations[key] = own
        return self._variations[key]

    @cached_property
    def donors(self) -> Sequence[Donor]:
        """The donors that arms begin with."""
        if self.absorb == "never":
            return self.given
        if self.absorb not in self._absorbed:  # variations of one bench share them
            images = self.data.train_images
            found = [absorb_statistics(donor, images, self.absorb) for donor in self.given]
            self._absorbed[self.absorb] = found
        return self._absorbed[self.absorb]

    @contextmanager
    def fitness(self, **changes: Any) -> Iterator[FitnessOptions]:
        """Let the evaluator measure at this bench's rate and with other options for a while."""
        usual = self.evaluator.setup
        fitness = dataclasses.replace(usual.fitness, learning_rate=self.rate, **changes)
        self.evaluator.setup = dataclasses.replace(usual, fitness=fitness)
        try:
            with self._training_at(self.rate):
                yield fitness
        finally:
            self.evaluator.setup = usual

    @contextmanager
    def _training_at(self, rate: float) -> Iterator[None]:
        """Let the traced model train at another rate for a while."""
        model = self.evaluator.network
        usual = model.settings
        model.settings = dataclasses.replace(usual, learning_rate=rate)
        try:
            yield
        finally:
            model.settings = usual

    def train(
        self,
        tensors: Tensors,
        purpose: str,
        number: int,
        epochs: float = 1.0,
        rate: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Return weights after some epochs, classifier included."""
        task = EvaluationTask(
            Recipe.genome(self._space.pure(0)),
            self.draw(purpose, number),
            epochs,
            parts=(),
            head_seed=self.head_seed,
            keep_weights=True,
        )
        with self._training_at(self.rate if rate is None else rate):
            self._seat(tensors)
            return dict(task.run(self.evaluator).weights)

    def score(self, tensors: Tensors, *parts: str) -> Mapping[str, Mapping[str, float]]:
        """Return scores without training, BatchNorm statistics re-estimated."""
        self._seat(tensors)
        task = EvaluationTask(Recipe.genome(self._space.pure(0)), self.head_seed, 0.0, parts)
        found = task.run(self.evaluator)
        return found.scores or {part: {"loss": float("inf"), "accuracy": 0.0} for part in parts}

    def probabilities(self, tensors: Tensors) -> np.ndarray:
        """Return (image, class) of the test images, without training."""
        self.score(tensors, "validation")
        order = batches(len(self.data.test_labels), self.evaluator.inference_batch)
        logits = self.evaluator.network.predict(tf.constant(self.data.test_images), order)
        return np.exp(log_softmax(logits))

    def validation_loss(self, tensors: Tensors) -> float:
        """Return the search-validation loss."""
        return self.score(tensors, "validation")["validation"]["loss"]

    def _seat(self, tensors: Tensors) -> None:
        self.evaluator.sit(Seat(self._space, [tensors]))

    @cached_property
    def _space(self) -> Any:
        return genome_space(self.donors[0].spec, 1, "block")

    def draw(self, purpose: str, number: int = 0) -> int:
        """Return a seed for a purpose and a number within it."""
        entropy = [self.seed, zlib.crc32(purpose.encode()), number]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)

    @property
    def head_seed(self) -> int:
        """Common to all that is averaged: heads drawn apart are no use to an average."""
        return self.draw("head")

    @property
    def budget(self) -> int:
        """Epochs that an arm may spend."""
        return self.config["budget"]

    @cached_property
    def best_donor(self) -> Donor:
        """The donor whose first epoch validates best; its cost is left out for all arms alike."""
        if len(self.donors) == 1:
            return self.donors[0]
        losses = [
            self.validation_loss(self.train(d.tensors, "noise", n))
            for n, d in enumerate(self.donors)
        ]
        return self.donors[int(np.argmin(losses))]

    @cached_property
    def plain(self) -> list[Tensors]:
        """The best donor trained for the whole budget: its weights after each of the last epochs."""
        return self.train_plainly(np.ones(self.budget), self.config["memory"])

    def train_plainly(self, rates: np.ndarray, memory: int) -> list[Tensors]:
        """Return the last states of one training of the best donor, a factor of the rate per epoch."""
        start = self.best_donor.tensors
        images = tf.constant(self.data.train_images), tf.constant(self.data.train_labels)
        kept = []
        with self._training_at(self.rate):
            model = self.evaluator.network
            model.load(start, self.draw("plain"), self.head_seed)
            for epoch, rate in enumerate(rates):
                # One training: nothing is reset between epochs, the optimizer's state least of all.
                order = model.epoch_order(len(self.data.train_labels), self.draw("plain", epoch))
                model.train(*images, order, float(rate))
                kept = [*kept, model.tensors(with_head=True)][-memory:]
        return kept

    @cached_property
    def siblings(self) -> list[Donor]:
        """Independent fine-tunings of the donors in turn, which together cost the budget."""
        count = self.config["siblings"]
        epochs = self.budget // count
        found = []
        for number in range(count):
            donor = self.donors[number % len(self.donors)]
            weights = donor.tensors
            for epoch in range(epochs):
                weights = self.train(weights, "sibling", number * 1000 + epoch)
            found.append(donor.replace(name=f"sibling{number}", tensors=weights))
        return found

    def learned(self, donors: Sequence[Donor], epochs: float) -> tuple[dict[str, Any], Any]:
        """Return the soup of donors whose weights, segment by segment, are learned, and these."""
        space = genome_space(self.donors[0].spec, len(donors), "block")
        tensors = [donor.tensors for donor in donors]
        model, seed = self.evaluator.network, self.draw("soup")
        # Dropout begins as in any training of this seed; weights are overwritten.
        model.load(tensors[0], seed)
        learner = SoupLearner(
            model.model, space.spec, self.donors[0].conventions, self.data.classes, tensors
        )
        images, labels = tf.constant(self.data.train_images), self.evaluator.train_labels
        order = model.epoch_order(len(self.data.train_labels), seed, epochs)
        found = learner.learn(images, labels, order, seed=seed)
        soup = Recipe.by_segment(found.weights).compose(space, tensors)
        return dict(soup), found.weights.round(3).tolist()
