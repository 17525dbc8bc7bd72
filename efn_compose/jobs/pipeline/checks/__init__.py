"""Everything that would stop a chapter later, found before the first one.

`images.py` looks at sources, folds and patients, `networks.py` at nestings and BatchNorm.
Begin at `whole.py`, which asks both, and looks at settings, weights and the disk.
"""
