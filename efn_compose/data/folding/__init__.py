"""Folds that part no patient and no duplicates, how alike they are, and the table they are kept in.

Begin at `folds.py`. `rare.py` sees to it that every fold has every class, `fold_quality.py` measures,
`fold_table.py` writes and reads, `duplicates.py` finds equal images in different folds.
"""
