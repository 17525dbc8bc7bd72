"""Donors brought into one channel basis, on unlabelled images.

`align.py` leads: `activations.py` takes moments of both donors' activations, `assignment.py` matches channels
one to one, `stream_maps.py` fits maps of residual streams, `transform.py` writes a donor in the new basis.
"""
