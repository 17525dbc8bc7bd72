"""Searches over shares: genes are numbers, and losses of neighbours are alike.

Begin at `surrogate.py`, the model of all evaluations; `surrogate_breeding.py` draws newcomers by it.
`cma_search.py` follows a distribution instead.
"""
