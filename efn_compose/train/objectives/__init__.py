"""What a training is for: head, targets, loss, scores, and what is kept.

Begin at `objective.py` (what the recipe asks of an objective); `classification.py` is the first.
Shared by several: `backbone.py` (the network below a head), `linear_head.py`, `losses.py`.
"""
