"""BatchNorm statistics and linear refits: weights changed without training them.

Begin at `absorb.py` (a donor rewritten for other images, function kept) or `recalibrate.py`
(statistics taken again). `repair.py` and `refit.py` mend mixtures of networks.
"""
