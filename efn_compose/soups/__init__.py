"""Averages of networks that descend from one training.

`blend.py` averages with given weights, `greedy.py` chooses members by a score, and
`learned.py` learns a weight per segment by gradient. Begin at `blend.py`.
"""

from efn_compose.soups.blend import blend, uniform_soup
from efn_compose.soups.greedy import GreedySoup, greedy_soup

__all__ = ["GreedySoup", "blend", "greedy_soup", "uniform_soup"]
