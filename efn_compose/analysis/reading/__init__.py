"""Run folders read into values: no drawing, no markup.

Begin at `journal_view.py` (what the journal says) and `search_view.py` (one search as a whole).
`composition/` reads what the written weights are made of.
"""
