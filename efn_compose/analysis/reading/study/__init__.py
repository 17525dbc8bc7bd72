"""A study's run folder to values, sentences and tables.

A *point* is a combination on one data set; the journal counts points. A *combination* is a level of
every axis but the data set; verdicts, pages and `result.json` count combinations. A *block* is a
data set and a fold, its seeds averaged; with a single fold, a data set and a seed.

Begin at `folder.py` and `view.py`.
"""
