"""torchvision's MNASNet: MnasNet-B1 at any width, as one numbered row of layers.

Stem, the first block and the top lie flat in `layers`; stages 2 to 7 are `layers.8` to
`layers.13`, and each of their blocks has its own six numbered layers.
"""

from efn_compose.checkpoints.dialects.block_names import BlockPlace
from efn_compose.checkpoints.dialects.torch.torch_names import TorchNames

#: The first block has no expansion and no repeats.
_FIRST_BLOCK = {
    "depthwise_conv": "layers.3",
    "depthwise_bn": "layers.4",
    "project_conv": "layers.6",
    "project_bn": "layers.7",
}
_PARTS = {
    "expand_conv": 0,
    "expand_bn": 1,
    "depthwise_conv": 3,
    "depthwise_bn": 4,
    "project_conv": 6,
    "project_bn": 7,
}
#: Stage 2 is this layer, stage 3 the next.
_STAGE_2 = 8
_NOWHERE = "none"


def _part_name(place: BlockPlace, part: str) -> str:
    """Return a part's module."""
    if place.stage == 1:
        is_first = place.repeat == 1 and not place.has_expand
        return _FIRST_BLOCK.get(part, _NOWHERE) if is_first else _NOWHERE
    if part not in _PARTS:
        return _NOWHERE
    stage = f"layers.{_STAGE_2 + place.stage - 2}"
    return f"{stage}.{place.repeat - 1}.layers.{_PARTS[part]}"


MNASNET_NAMES = TorchNames(
    ends={
        "stem_conv": "layers.0",
        "stem_bn": "layers.1",
        "top_conv": "layers.14",
        "top_bn": "layers.15",
        "predictions": "classifier.1",
    },
    part_name=_part_name,
)
