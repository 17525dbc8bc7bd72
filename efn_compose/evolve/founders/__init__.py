"""What happens to donors before the search: aligned, absorbed, trained into siblings.

Begin at `founders.py`, which does these in order. `kept_donors.py` keeps the made donors, so that a
resumed run makes none twice; `lineage_flags.py` makes the notes on mixed lineages.
"""
