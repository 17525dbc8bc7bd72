"""From a foreign file to a donor: found, recognised, examined, matched, reported, verified.

Begin at `conversion.py` (`convert` and `inspect`) or `examination.py`, which takes the steps that both
share. A dialect, in the folder above, is what these steps ask.
"""
