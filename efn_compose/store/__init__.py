"""Files that efn_compose writes: weight files and run folders."""

from efn_compose.store.atomic import atomic_path, check_free_space, write_text
from efn_compose.store.journal import Journal, read_journal
from efn_compose.store.options import RunOptions
from efn_compose.store.run_folder import RunFolder
from efn_compose.store.weights.weight_file import WeightFile, write_weights
from efn_compose.store.weights.weight_header import WeightHeader

__all__ = [
    "Journal",
    "RunFolder",
    "RunOptions",
    "WeightFile",
    "WeightHeader",
    "atomic_path",
    "check_free_space",
    "read_journal",
    "write_text",
    "write_weights",
]
