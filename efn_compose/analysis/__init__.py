"""Looking at runs and weights: report, model card, comparison. Imports neither TensorFlow nor Ray."""

from efn_compose.analysis.card.card import write_card
from efn_compose.analysis.page.compare import write_comparison
from efn_compose.analysis.page.report import write_report

__all__ = ["write_card", "write_comparison", "write_report"]
