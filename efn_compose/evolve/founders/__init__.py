"""What happens to donors before the search: aligned, absorbed, trained into siblings.

Begin at `founders.py`, which does these in order. `kept_donors.py` keeps what was made, so that a
resumed run makes nothing twice; `lineage_flags.py` says what must be said of mixed lineages.
"""
