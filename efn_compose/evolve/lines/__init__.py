"""Trained candidates as the next generation's donors: what searches that train on have in common.

Begin at `generations.py`, which trains, keeps and makes networks again; `population.py` is their
folder. `descendants.py` scores averages of them for the finals. The searches themselves are kinds:
`evolve/kinds/halving.py` and `lamarck.py`.
"""
