"""Who won: finals on fresh seeds, the paired difference with its error, the test split once.

Begin at `finals.py`, which re-runs the finalists; `verdict.py` decides and says so in words.
"""
