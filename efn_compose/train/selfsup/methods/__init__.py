"""Methods of learning without labels, one file each; begin at `vicreg.py`, the default."""
