"""Searches that train on: trained candidates are the next generation's donors.

Begin at `halving.py` (the better half trains on) or `inheritance.py` (children of trained parents).
`generations.py` and `population.py` keep the networks of both; `descendants.py` names what they are.
"""
