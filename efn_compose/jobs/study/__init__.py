"""A study: trainings over a grid, a sample or a fraction of networks, resolutions and recipes.

`options.py` declares the axes, `kinds.py` the ready-made studies, `points.py` turns axes into
points. `pacing/` measures networks and turns equal budgets into epochs. `cells.py` is one training
in a worker. `job.py` puts everything together; begin there.
"""
