"""Weight files: their header, parts and checksums, and how they are written; begin at `weight_file.py`."""
