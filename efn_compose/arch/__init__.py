"""Architecture tables: variants, tensors, channel groups, conventions."""

from efn_compose.arch.channels import ChannelGroup, GroupAxis, channel_groups
from efn_compose.arch.conventions import PREPROCESSINGS, Conventions, Preprocessing
from efn_compose.arch.decoder import decoder_operations, unet_walk
from efn_compose.arch.feature_points import FeaturePoint, feature_points
from efn_compose.arch.inventory import (
    BN_ROLES,
    STATISTIC_ROLES,
    Axis,
    TensorSpec,
    inventory,
    parameter_count,
)
from efn_compose.arch.specs import ArchSpec, BlockSpec, DecoderSpec
from efn_compose.arch.tables import BASES, FAMILIES, VARIANTS
from efn_compose.arch.variants import (
    arch_spec,
    base_of,
    default_conventions,
    round_channels,
    round_repeats,
    scaled_spec,
    variant_name,
)
from efn_compose.arch.walk import (
    GROUP_CHANNELS,
    HEAD_LAYER,
    IMAGE,
    Operation,
    block_groups,
    block_operations,
    body,
    follow,
    follow_from,
    until_block,
    walk,
)

__all__ = [
    "BASES",
    "BN_ROLES",
    "FAMILIES",
    "GROUP_CHANNELS",
    "HEAD_LAYER",
    "IMAGE",
    "PREPROCESSINGS",
    "STATISTIC_ROLES",
    "VARIANTS",
    "ArchSpec",
    "Axis",
    "BlockSpec",
    "ChannelGroup",
    "Conventions",
    "DecoderSpec",
    "FeaturePoint",
    "GroupAxis",
    "Operation",
    "Preprocessing",
    "TensorSpec",
    "arch_spec",
    "base_of",
    "block_groups",
    "block_operations",
    "body",
    "channel_groups",
    "decoder_operations",
    "default_conventions",
    "feature_points",
    "follow",
    "follow_from",
    "inventory",
    "parameter_count",
    "round_channels",
    "round_repeats",
    "scaled_spec",
    "unet_walk",
    "until_block",
    "variant_name",
    "walk",
]
