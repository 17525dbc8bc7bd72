"""Seeding: composed weights into any Keras EfficientNet, all of them or none."""

from efn_compose.seeding.report import SeedReport
from efn_compose.seeding.seed import seed

__all__ = ["SeedReport", "seed"]
