"""Published policies: tables of operations in physical units, and the operations themselves.

`tables.py` holds the numbers, `drawing.py` what an image draws from them, `operations.py` applies
what was drawn to a batch.
"""
