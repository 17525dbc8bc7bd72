"""Architecture tables: variants, tensors, channel groups, conventions."""

from efn_compose.arch.channels import ChannelGroup, GroupAxis, channel_groups
from efn_compose.arch.conventions import PREPROCESSINGS, Conventions, Preprocessing
from efn_compose.arch.inventory import (
    BN_ROLES,
    HEAD_LAYER,
    STATISTIC_ROLES,
    Axis,
    TensorSpec,
    block_groups,
    inventory,
    parameter_count,
)
from efn_compose.arch.specs import ArchSpec, BlockSpec
from efn_compose.arch.variants import (
    FAMILIES,
    VARIANTS,
    arch_spec,
    default_conventions,
    round_channels,
    round_repeats,
    scaled_spec,
    variant_name,
)

__all__ = [
    "BN_ROLES",
    "FAMILIES",
    "HEAD_LAYER",
    "PREPROCESSINGS",
    "STATISTIC_ROLES",
    "VARIANTS",
    "ArchSpec",
    "Axis",
    "BlockSpec",
    "ChannelGroup",
    "Conventions",
    "GroupAxis",
    "Preprocessing",
    "TensorSpec",
    "arch_spec",
    "block_groups",
    "channel_groups",
    "default_conventions",
    "inventory",
    "parameter_count",
    "round_channels",
    "round_repeats",
    "scaled_spec",
    "variant_name",
]
