"""Masks: the class of every pixel, beside an image; begin at `masks.py`."""
