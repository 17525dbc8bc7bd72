"""The main job: donors and data in, magic weights, report and card out.

Begin at `job.py`. `preparation.py` checks and loads everything before the first byte is written,
`quickstart.py` fits the quickstart to other images than its own, `batch_size.py` finds the
largest batch that fits, `rehearsal.py` measures the cost of a run.
"""
