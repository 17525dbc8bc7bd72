"""Averages of networks that descend from one training; one file per method.

`weighted.py` averages with given weights, `greedy.py` chooses members by a score, `learned.py`
learns a weight per segment by gradient, and `stock.py` places the average between the
networks and their ancestor. Begin at `weighted.py`. The verb is `jobs/soup/job.py`.
"""

from efn_compose.soups.greedy import GreedySoup, greedy_soup
from efn_compose.soups.stock import StockSoup, model_stock
from efn_compose.soups.weighted import uniform_soup, weighted_soup

__all__ = ["GreedySoup", "StockSoup", "greedy_soup", "model_stock", "uniform_soup", "weighted_soup"]
