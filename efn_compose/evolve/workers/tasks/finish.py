"""The last task of a run: the weights that are written."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.arch import HEAD_LAYER
from efn_compose.compose import Recipe
from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator


@dataclass(frozen=True)
class FinishTask(Task):
    """Compose a recipe's weights and re-estimate their BatchNorm statistics where mixed.

    Args:
        recipe: How the weights are made.
    """

    recipe: Recipe

    def run(self, worker: "Evaluator") -> dict[str, np.ndarray]:
        """Return the weights by canonical name; a pure donor's are its own."""
        tensors = worker.compose(self.recipe)
        # Weights trained here include their classifier; it may be a mean of several itself.
        is_trained = f"{HEAD_LAYER}/kernel" in tensors
        if not (is_trained or self.recipe.is_mixed(worker.space)):
            return {name: np.array(values) for name, values in tensors.items()}
        worker.network.load(tensors, seed=0)
        worker.recalibrate()
        return worker.network.tensors(with_head=is_trained)
