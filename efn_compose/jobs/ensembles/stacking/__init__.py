"""Second-level models: many lines of configuration, fitted in batches, one column each.

`portfolio.py` says which models there are, `kinds.py` how each is made, `inputs.py` and `tabular.py` what
they see, `batch.py` is the task of a worker, `run.py` hands out the batches and keeps the answers.
"""
