"""A soup whose weights are learned, as a task."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator
    from efn_compose.train.learned_soup import LearnedSoup


@dataclass(frozen=True)
class LearnedSoupTask(Task):
    """Learn how much of each donor goes into each segment of their average.

    The answer's weights make a recipe, `Recipe.by_segment`, that is evaluated like any other.

    Args:
        seed: Decides order, dropout and a fresh classifier.
        epochs: Passes over the training images; a step costs about what a training step does.
        rate: Of Adam, for the numbers behind the weights.
    """

    seed: int
    epochs: float = 1.0
    rate: float = 0.1

    def run(self, worker: "Evaluator") -> "LearnedSoup":
        """Return segment weights of all donors, learned on training images."""
        from efn_compose.train.learned_soup import SoupLearner

        network, setup = worker.network, worker.setup
        # Dropout begins as in any training of this seed; weights are overwritten.
        network.load(worker.donors[0], self.seed)
        learner = SoupLearner(
            network.model, setup.spec, setup.conventions, worker.data.classes, worker.donors
        )
        order = network.epoch_order(len(worker.data.train_labels), self.seed, self.epochs)
        images = worker.images["train"]
        return learner.learn(images, worker.train_labels, order, seed=self.seed, rate=self.rate)
