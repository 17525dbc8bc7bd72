"""One traced network for all candidates of a search: weights are swapped, nothing is rebuilt.

Begin at `resident.py`; `probe.py` scores features without training.
"""
