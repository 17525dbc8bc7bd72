"""Small networks inside large ones, beside each other, and cut out of them."""

from efn_compose.nesting.direct_sum import direct_sum
from efn_compose.nesting.fills import FILLS, Fill
from efn_compose.nesting.heads import ridge_head, widen_head
from efn_compose.nesting.nest import NestFill, nest
from efn_compose.nesting.plan import ExtraRepeats, NestingPlan, Positions, plan_nesting
from efn_compose.nesting.running.verify import NestingCheck, verify_nesting
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.nesting.shrink import shrink
from efn_compose.nesting.to_file import direct_sum_to_file, nest_to_file

__all__ = [
    "FILLS",
    "ExtraRepeats",
    "Fill",
    "NestFill",
    "NestingCheck",
    "NestingPlan",
    "Positions",
    "WeightSource",
    "direct_sum",
    "direct_sum_to_file",
    "nest",
    "nest_to_file",
    "plan_nesting",
    "ridge_head",
    "shrink",
    "verify_nesting",
    "widen_head",
]
