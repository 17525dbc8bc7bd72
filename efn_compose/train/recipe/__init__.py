"""The recipe: a weight file, a minimal head, everything trainable, honest scores."""

from efn_compose.train.recipe.fit import FittedModel, fit
from efn_compose.train.recipe.history import EpochRecord, History
from efn_compose.train.recipe.inputs import TrainingData
from efn_compose.train.recipe.options import TrainOptions
from efn_compose.train.recipe.trainer import Trainer

__all__ = [
    "EpochRecord",
    "FittedModel",
    "History",
    "TrainOptions",
    "Trainer",
    "TrainingData",
    "fit",
]
