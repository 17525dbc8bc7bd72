"""Predictions on images that a network was not trained on: kept, checked, summarised."""

from efn_compose.assess.out_of_fold.check import check_out_of_fold
from efn_compose.assess.out_of_fold.file import (
    default_name,
    read_predictions,
    write_predictions,
)
from efn_compose.assess.out_of_fold.predictions import Predictions, join_predictions
from efn_compose.assess.out_of_fold.summary import OutOfFoldSummary, assess_mean, summarise

__all__ = [
    "OutOfFoldSummary",
    "Predictions",
    "assess_mean",
    "check_out_of_fold",
    "default_name",
    "join_predictions",
    "read_predictions",
    "summarise",
    "write_predictions",
]
