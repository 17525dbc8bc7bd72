"""What puts everything together: configuration, data, workers and folder become a finished job.

Only these modules know configuration files, run folders and executors at once.
Begin at `search/job.py` (the main job) or `trainings/job.py` (folds, seeds, networks). `folds.py`
cuts a data set into folds, `doctor/` says whether this machine can run a search.
"""
