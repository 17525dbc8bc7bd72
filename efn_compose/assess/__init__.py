"""Scores of predictions, in numpy: metrics, intervals, calibration, out-of-fold tables.

Begin at `evaluation/assessment.py` (one set of predictions) or `out_of_fold/` (those of all folds).
No TensorFlow is imported here.
"""
