"""From a donor to a file that another library loads.

Begin at `export.py`; `export_targets.py` lists what can be written, one file per library.
"""
