"""Names to canonical names: how a library calls the tensors of an EfficientNet.

Begin at `dialect.py`, which says what a dialect must state, and `mapping.py`, which applies it.
`layouts.py` is the only file that knows the order of a library's axes; `keras/` reads Keras' names.
"""
