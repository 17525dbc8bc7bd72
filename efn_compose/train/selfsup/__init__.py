"""Learning from images alone: a donor goes in, a relative that knows the user's images comes out.

Begin at `two_views.py` (projector, views and monitors of every method) and `vicreg.py`, the default.
`methods.py` is the table of methods; `losses.py` has their formulas, `monitors.py` what is watched.
"""

from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions

__all__ = ["PretrainOptions", "ViewOptions"]
