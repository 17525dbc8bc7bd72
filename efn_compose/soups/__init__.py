"""Averages of networks that descend from one training; one file per method.

`blend.py` averages with given weights, `greedy.py` chooses members by a score, `learned.py`
learns a weight per segment by gradient, and `stock.py` places the average between the
networks and their ancestor. Begin at `blend.py`. The verb is `jobs/soup/job.py`.
"""

from efn_compose.soups.blend import blend, uniform_soup
from efn_compose.soups.greedy import GreedySoup, greedy_soup
from efn_compose.soups.stock import StockSoup, model_stock

__all__ = ["GreedySoup", "StockSoup", "blend", "greedy_soup", "model_stock", "uniform_soup"]
