"""How much each block of the written weights matters, judged from the weight file alone."""

import numpy as np

from efn_compose.arch.channels import channel_groups
from efn_compose.arch.layer_names import segment_of_group
from efn_compose.nesting.reducing.saliency import weight_saliency
from efn_compose.store import WeightFile

#: Larger files are not read for a figure on hovering; the page must be quick.
_BYTES = 400e6


def segment_saliency(file: WeightFile) -> dict[str, float]:
    """Return the mean saliency of each part's channels relative to the mean over all parts.

    Parts are blocks, by their expanded channels, and stem and top; see `weight_saliency`.

    Args:
        file: An open weight file.

    Returns:
        Numbers around 1 by name of the part; empty for very large files.

    Example:
        >>> with WeightFile("efn_magic_weights.h5") as file:  # doctest: +SKIP
        ...     segment_saliency(file)["stage2_block1"]
        1.31
    """
    if file.header.byte_count > _BYTES:
        return {}
    groups = channel_groups(file.header.spec)
    found = {
        segment_of_group(name): float(np.mean(weight_saliency(group, file.read)))
        for name, group in groups.items()
        if group.kind in ("expanded", "stem", "top")
    }
    mean = sum(found.values()) / len(found)
    return {name: value / mean for name, value in found.items()} if mean > 0 else {}
