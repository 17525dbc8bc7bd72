"""Networks run in numpy, tensor by tensor, and compared with one another.

Begin at `forward.py`; `verify.py` proves that a network in a larger one computes the same, and
`weight_source.py` says where both read their tensors.
"""
