"""Source dialects: one file per library that publishes EfficientNet checkpoints.

A file holds a name table, the conventions with where they are known from, and
the licence; the mechanism is in `efn_compose.checkpoints`.
"""

from converters.conversion import Conversion, convert, inspect
from converters.export import export
from converters.export_report import ExportReport
from converters.registry import CONVERTERS

__all__ = ["CONVERTERS", "Conversion", "ExportReport", "convert", "export", "inspect"]
