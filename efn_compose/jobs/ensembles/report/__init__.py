"""The report of an ensemble: verdict, columns, agreement, mistakes, and another ensemble beside it.

Begin at `page.py`. `mistakes.py` shows where the submitted method errs, `beside.py` where two differ.
"""
