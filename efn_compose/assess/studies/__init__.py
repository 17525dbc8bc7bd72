"""What a table of trainings says: who leads, which are tied, what each factor does, what it costs.

Rows are combinations of a study (a network at a resolution under a recipe), columns are its blocks
(a data set, a fold and a seed). A training that failed is NaN.

Begin at `lead.py`.
"""
