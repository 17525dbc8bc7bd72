"""Accuracy, AUC, calibration and thresholds of a classifier, each with its uncertainty.

Numpy only, on arrays of labels and probabilities; importing it imports no TensorFlow.
"""

from efn_compose.assess.evaluation.assessment import Assessment, ClassAssessment, assess
from efn_compose.assess.evaluation.calibration import CalibrationBin, calibration
from efn_compose.assess.evaluation.intervals import Interval
from efn_compose.assess.evaluation.ranking import area_interval
from efn_compose.assess.evaluation.thresholds import OperatingPoint, threshold_table

__all__ = [
    "Assessment",
    "CalibrationBin",
    "ClassAssessment",
    "Interval",
    "OperatingPoint",
    "area_interval",
    "assess",
    "calibration",
    "threshold_table",
]
