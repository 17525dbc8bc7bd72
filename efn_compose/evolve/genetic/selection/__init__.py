"""Selections: who becomes a parent, by what is believed of everybody. One file each; see `base.py`."""
