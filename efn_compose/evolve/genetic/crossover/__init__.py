"""Crossovers: two genomes to two children, every gene from its locus. One file each; see `base.py`."""
