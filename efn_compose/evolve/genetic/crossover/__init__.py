"""Crossovers: two genomes to two children, every gene at its locus. One file each; see `base.py`."""
