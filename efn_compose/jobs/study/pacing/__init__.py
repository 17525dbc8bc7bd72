"""How long the trainings of a study take, and how many epochs each of them gets.

`probe.py` measures a network's pace in a worker, `paces.py` keeps paces in the run folder, `budget.py` gives
equal budgets as epochs, `estimate.py` says the time of the whole study.
"""
