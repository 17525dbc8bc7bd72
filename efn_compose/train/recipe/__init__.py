"""The recipe: a weight file, an objective, everything trainable, honest scores."""

from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.classification import Classification
from efn_compose.train.objectives.objective import Objective
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.fit import FittedModel, fit
from efn_compose.train.recipe.history import EpochRecord, History
from efn_compose.train.recipe.trainer import Trainer

__all__ = [
    "Classification",
    "EpochRecord",
    "FittedModel",
    "History",
    "Objective",
    "TrainOptions",
    "Trainer",
    "TrainingData",
    "fit",
]
