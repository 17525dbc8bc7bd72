"""Augmentation policies that are found: searched on trained networks, judged by fresh trainings.

`space.py` says what a genome means, `expected.py` what a policy is worth, by what is measured of its
steps. `search.py` breeds. `scoring.py` measures, in the workers of `worker.py`. `verdict.py` compares
with TrivialAugment. `job.py` puts everything together; begin there.
"""
