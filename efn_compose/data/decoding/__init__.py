"""Bytes of image files to pixels, and what is said of those that cannot be read; begin at `decode.py`."""
