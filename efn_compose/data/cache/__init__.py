"""Decoded and resized images on disk: one copy for all processes of a machine.

`layout.py` says what a file of the cache looks like, `fill.py` makes one, `images.py` reads it like
an array, `place.py` knows where files lie, how many bytes they may take, and which to remove.
Begin at `images.py`.
"""
