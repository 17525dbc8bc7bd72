"""Bytes to arrays: readers of foreign containers. None of them runs code from a file.

Begin at `containers.py`, which recognises a file and picks its reader; `raw.py` holds the type that
a reader returns. `torch/` holds PyTorch's zip and legacy formats, `keras/` those of Keras.
"""
