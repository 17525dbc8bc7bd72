"""Bytes to arrays: readers of foreign containers, none of which runs what it reads.

Begin at `containers.py`, which recognises a file and picks its reader; `raw.py` is what a reader
returns. `torch/` holds PyTorch's zip and legacy formats, `keras/` those of Keras.
"""
