"""The genetic search: operators, beliefs about genomes, and when to ask for the next ones.

Begin at `generational.py` (all answers are awaited) or `steady_search.py` (no worker waits). `estimates.py`
says what noisy scores are worth, and `shares/` has searches whose genes are numbers; `deap_tools.py` is the
only file that imports DEAP.
"""
