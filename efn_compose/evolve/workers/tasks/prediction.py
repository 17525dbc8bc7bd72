"""Predictions: what weights make of each test image after the training of an evaluation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.compose import Recipe
from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator


@dataclass(frozen=True)
class PredictionTask(Task):
    """Train a recipe's weights as an evaluation does, and predict each test image.

    Args:
        recipe: How the weights are made.
        seed: Decides head, order and dropout.
        epochs: Passes over the training images.
        gentle: Train weights that include their classifier at `finals.final_rate` of the rate.
    """

    recipe: Recipe
    seed: int
    epochs: float = 1.0
    gentle: bool = False

    def run(self, worker: "Evaluator") -> dict[str, np.ndarray]:
        """Return "predicted" (image,) int32 and its probability "confidence" (image,) float32."""
        tensors = worker.compose(self.recipe)
        worker.load(tensors, self.seed)
        rate = worker.rate_factor(tensors, is_gentle=self.gentle)
        worker.train(self.seed, self.epochs, rate)
        worker.recalibrate()
        logits = worker.logits("test").astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        confidence = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1)
        return {
            "predicted": logits.argmax(axis=1).astype(np.int32),
            "confidence": confidence.astype(np.float32),
        }
