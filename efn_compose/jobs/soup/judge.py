"""Scores of a network on the user's images, without training it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.assess.metrics import accuracy, best_temperature, cross_entropy
from efn_compose.data import DataSet
from efn_compose.donors import Donor
from efn_compose.evolve.options import FitnessOptions
from efn_compose.jobs.soup.preparation import other_classes
from efn_compose.nesting.heads import fit_ridge
from efn_compose.train.engine.batches import even_batches

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator

#: Training images that BatchNorm statistics are taken of.
STATISTICS_IMAGES = 1024
#: Training images that a ridge classifier is fitted on; its cost grows with their cube.
RIDGE_IMAGES = 1024


@dataclass(frozen=True)
class Answers:
    """Predictions of a network on the images that judge it.

    Args:
        validation: Logits (image, class) of the validation images.
        test: The same of the test images.
        temperature: What all logits are divided by; fits the validation images best.
        loss: Mean cross-entropy of the validation images at that temperature, in nats;
            infinite where the network's answers are not finite.
        accuracy: Share of validation images that are right, 0 to 1.
    """

    validation: np.ndarray
    test: np.ndarray
    temperature: float
    loss: float
    accuracy: float


class Judge:
    """Scores networks of one shape on one data set, and re-estimates their statistics.

    All are judged alike: by their own classifiers where every donor has one of the data's
    classes, otherwise by a ridge classifier that is fitted to each network's features of
    training images in closed form.

    Args:
        donors: The networks, harmonised.
        data: Images and labels.
    """

    def __init__(self, donors: Sequence[Donor], data: DataSet) -> None:
        from efn_compose.evolve.workers.evaluator import WorkerSetup

        donor = donors[0]
        self.data, self._like = data, donor
        self.uses_own_classifier = donor.classes == data.classes and not other_classes(donors, data)
        setup = WorkerSetup(donor.spec, donor.conventions, FitnessOptions())
        self.worker: Evaluator = setup.make_worker(data)
        self._better: dict[str, tuple[Answers, bool]] = {}
        self._order = even_batches(
            min(len(data.train_labels), STATISTICS_IMAGES), self.worker.inference_batch
        )
        #: Training images that statistics are taken of.
        self.statistics_images = int(self._order.size)

    def as_it_is(self, donor: Donor) -> Answers:
        """Return the predictions of a network with its own BatchNorm statistics."""
        self.worker.network.load(donor.tensors, seed=0)
        return self._answers()

    def re_estimated(self, donor: Donor) -> tuple[Donor, Answers]:
        """Return a network with BatchNorm statistics of training images, and its predictions."""
        network = self.worker.network
        network.load(donor.tensors, seed=0)
        network.recalibrate(self.worker.images["train"], self._order)
        found = network.tensors(with_head=self.uses_own_classifier)
        tensors = {name: found.get(name, values) for name, values in donor.tensors.items()}
        return donor.replace(tensors=tensors), self._answers()

    def better_of_both(self, donor: Donor) -> tuple[Answers, bool]:
        """Return the predictions of a network as it is or re-estimated, and whether it is as it is.

        Those count that are better on validation. An average must not win because its statistics alone
        suit the images.
        """
        key = donor.fingerprint
        if key not in self._better:
            own, other = self.as_it_is(donor), self.re_estimated(donor)[1]
            is_own = own.loss <= other.loss
            self._better[key] = (own if is_own else other), is_own
        return self._better[key]

    def _answers(self) -> Answers:
        data, worker = self.data, self.worker
        read: Callable[[str], np.ndarray] = worker.logits
        if not self.uses_own_classifier:
            read = self._fitted_classifier()
        validation, test = read("validation"), read("test")
        if not (np.isfinite(validation).all() and np.isfinite(test).all()):
            return Answers(validation, test, 1.0, float("inf"), 0.0)
        temperature = best_temperature(validation, data.validation_labels)
        return Answers(
            validation,
            test,
            temperature,
            cross_entropy(validation / temperature, data.validation_labels),
            accuracy(validation, data.validation_labels),
        )

    def _fitted_classifier(self) -> Callable[[str], np.ndarray]:
        """Return a function from a part's name to logits of a ridge classifier."""
        data = self.data
        features = self.worker.features("train")[:RIDGE_IMAGES].astype(np.float64)
        if not np.isfinite(features).all():
            return lambda part: np.full((len(self.worker.labels(part)), data.classes), np.nan)
        targets = np.eye(data.classes)[data.train_labels[:RIDGE_IMAGES]]
        kernel, bias = fit_ridge(features, targets)
        return lambda part: self.worker.features(part).astype(np.float64) @ kernel + bias
