"""The memory and the plan of a search: journal lines, seeds, clock, budget.

Begin at `ledger.py`: it answers from the journal first and asks workers for what is left, so that
resuming is replaying. `planning.py` counts the cost of a search, `budget.py` decides its end.
"""
