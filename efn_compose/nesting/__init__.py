"""Small networks inside large ones, beside each other, and cut out of them."""

from efn_compose.nesting.fills import FILLS, Fill
from efn_compose.nesting.nest import nest
from efn_compose.nesting.plan import ExtraRepeats, NestingPlan, Positions, plan_nesting
from efn_compose.nesting.weight_source import WeightSource

__all__ = [
    "FILLS",
    "ExtraRepeats",
    "Fill",
    "NestingPlan",
    "Positions",
    "WeightSource",
    "nest",
    "plan_nesting",
]
