"""Names of layers and channel groups: how the walk makes them, and how algorithms ask for them."""

from typing import Literal

STEM_CONV, STEM_BN = "stem_conv", "stem_bn"
TOP_CONV, TOP_BN = "top_conv", "top_bn"

_EXPANDED = "_expanded"

#: The layers of a block that have tensors.
Part = Literal[
    "expand_conv", "expand_bn", "depthwise_conv", "depthwise_bn", "se_reduce", "se_expand",
    "project_conv", "project_bn",
]  # fmt: skip


def layer_of(block: str, part: Part) -> str:
    """Return the name of a block's layer.

    Example:
        >>> layer_of("stage2_block1", "project_conv")
        'stage2_block1_project_conv'
    """
    return f"{block}_{part}"


def is_part(layer: str, *parts: Part) -> bool:
    """Return whether a layer is one of these of any block.

    Example:
        >>> is_part("stage2_block1_se_reduce", "se_reduce", "se_expand"), is_part("top_bn", "expand_bn")
        (True, False)
    """
    return any(layer.endswith(f"_{part}") for part in parts)


def block_of(layer: str) -> str:
    """Return the block of a block's layer.

    Example:
        >>> block_of("stage2_block1_project_conv")
        'stage2_block1'
    """
    return "_".join(layer.split("_", 2)[:2])


def norm_of(conv: str) -> str:
    """Return the BatchNorm behind a convolution; that of a decoder's skip lies behind the sum of both.

    Example:
        >>> norm_of("stem_conv"), norm_of("decoder_step1_first_skip_conv")
        ('stem_bn', 'decoder_step1_first_bn')
    """
    return conv.removesuffix("_conv").removesuffix("_skip") + "_bn"


def conv_of(norm: str) -> str:
    """Return the convolution in front of a BatchNorm.

    Example:
        >>> conv_of("stage1_block1_depthwise_bn")
        'stage1_block1_depthwise_conv'
    """
    return norm.removesuffix("_bn") + "_conv"


def skip_conv_of(norm: str) -> str:
    """Return the convolution of a decoder's skip that a BatchNorm would have, whether there is one or not.

    Example:
        >>> skip_conv_of("decoder_step1_first_bn")
        'decoder_step1_first_skip_conv'
    """
    return norm.removesuffix("_bn") + "_skip_conv"


def expanded_of(segment: str) -> str:
    """Return the channel group of a segment's expanded channels, whether it has any or not.

    Example:
        >>> expanded_of("stage2_block1")
        'stage2_block1_expanded'
    """
    return f"{segment}{_EXPANDED}"


def is_expanded(group: str) -> bool:
    """Return whether a channel group is that of expanded channels.

    Example:
        >>> is_expanded("stage2_block1_expanded"), is_expanded("stage2")
        (True, False)
    """
    return group.endswith(_EXPANDED)


def segment_of_group(group: str) -> str:
    """Return the segment whose expanded channels a group is; the stem and the top are their own.

    Example:
        >>> segment_of_group("stage2_block1_expanded"), segment_of_group("stem")
        ('stage2_block1', 'stem')
    """
    return group.removesuffix(_EXPANDED)
