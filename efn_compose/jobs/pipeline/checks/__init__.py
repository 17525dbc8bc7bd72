"""Everything that would stop a chapter later, found before the first one.

`images.py` looks at sources, folds and patients, `networks.py` at nestings and BatchNorm, `settings.py` at
what each verb would refuse. Begin at `whole.py`, which asks them, and looks at weights and the disk.
"""
