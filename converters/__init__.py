"""Source dialects: one file per library that publishes EfficientNet checkpoints.

A file holds a name table, the conventions with where they are known from, and
the licence; the mechanism is in `efn_compose.checkpoints`.
"""

from converters.reading.conversion import Conversion, convert, inspect
from converters.registry import CONVERTERS
from converters.writing.export import export
from converters.writing.export_report import ExportReport

__all__ = ["CONVERTERS", "Conversion", "ExportReport", "convert", "export", "inspect"]
