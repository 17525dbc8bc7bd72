"""Relay: a long job done in legs, each by whoever has hours left, handed on in one file.

`deadline.py` ends a leg in time, `parcel.py` is the file, `legs.py` the record of who did what.
`relayed.py` says which jobs can be handed on. `job.py` runs a leg and accepts a parcel; begin there.
"""
