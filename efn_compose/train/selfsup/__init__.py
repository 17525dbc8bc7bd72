"""Learning from images alone: a donor goes in, a relative that knows the user's images comes out.

Begin at `watched.py` (what every method has) and `methods/vicreg.py`, the default. `two_views.py` is the
base of methods that compare two views, `pixels.py` of those that paint.
`adversarial/` has critics and the networks that they judge.
`table.py` lists the methods; `losses.py` has their formulas, `monitors.py` what is watched.
"""

from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions

__all__ = ["PretrainOptions", "ViewOptions"]
