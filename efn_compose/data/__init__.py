"""Images and labels: sources, splits, arrays ready for training."""

from efn_compose.data.dataset import DataSet, load_data, take_data
from efn_compose.data.options import DataOptions
from efn_compose.data.sources import load_table
from efn_compose.data.split import Split, split
from efn_compose.data.table import ImageTable

__all__ = [
    "DataOptions",
    "DataSet",
    "ImageTable",
    "Split",
    "load_data",
    "load_table",
    "split",
    "take_data",
]
