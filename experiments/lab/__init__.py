"""The laboratory: methods that experiments compare with, and that no verb of the product reaches.

`merges.py` holds merging baselines of the literature; `units.py` puts units of two donors side
by side in chosen blocks. Nothing here is imported by the product; `tests/lab` tests it.
"""
