"""What a search remembers and how it plans: journal lines, seeds, clock, budget.

Begin at `ledger.py`: it answers from the journal first and asks workers for what is left, so that
resuming is replaying. `planning.py` counts what a search will cost, `budget.py` says when it ends.
"""
