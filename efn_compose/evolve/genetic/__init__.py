"""The genetic search: operators, beliefs about genomes, and when to ask for the next ones.

Begin at `generational.py` (all answers are awaited) or `steady.py` (no worker waits).
`operators.py` is the only file that imports DEAP; `estimates.py` says what noisy scores are worth.
"""
