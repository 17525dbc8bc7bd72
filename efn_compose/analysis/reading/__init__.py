"""Run folders read into values: no drawing, no markup.

Begin at `journal_view.py` (a run folder) and `search_view.py` (one search as a whole).
`composition/` reads what the written weights are made of; `figures.py` says numbers as people read them.
"""
