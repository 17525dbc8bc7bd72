"""Whether this machine can run a search.

Begin at `examination.py`, which looks at everything. `software.py` looks at Python, packages,
TensorFlow and executors, `machine.py` at cores, memory, disk and data; `check.py` is one finding.
"""
