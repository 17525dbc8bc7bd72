"""Selections: the choice of parents by their believed losses. One file each; see `base.py`."""
