"""What a table of trainings says: who leads, which are tied, what each factor does, what it costs.

Rows are combinations of a study (a network at a resolution under a recipe), columns are its
trainings (a data set, a fold and a seed) or its blocks. A block is what chance draws once: a data
set and a fold, whose seeds share its images and are averaged (`blocks.py`). A training that failed
is NaN.

Begin at `lead.py`.
"""
