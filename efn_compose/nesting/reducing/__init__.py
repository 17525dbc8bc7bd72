"""A network made smaller: which channels stay, and what makes up for those that go.

Begin at `reduction.py`. `saliency.py` says what a channel is worth, `refit.py` and `calibrate.py`
fit what remains to what the whole network gave.
"""
