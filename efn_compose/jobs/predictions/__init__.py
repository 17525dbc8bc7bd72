"""New images to a table of probabilities: `job.py` begins, the others do one step each."""
