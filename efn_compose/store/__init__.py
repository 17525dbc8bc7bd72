"""Files that efn_compose writes: weight files and run folders."""

from efn_compose.store.atomic import atomic_path, check_free_space, write_text
from efn_compose.store.weight_file import WeightFile, WeightHeader, write_weights

__all__ = [
    "WeightFile",
    "WeightHeader",
    "atomic_path",
    "check_free_space",
    "write_text",
    "write_weights",
]
