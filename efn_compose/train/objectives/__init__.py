"""The purpose of a training: head, targets, loss, scores, kept layers.

Begin at `objective.py` (the questions that a training asks); `classification.py` is the first.
Shared by several: `backbone.py` (the network below a head), `linear_head.py`, `losses.py`.
"""
