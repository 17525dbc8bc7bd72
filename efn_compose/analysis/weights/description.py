"""A weight file in words and numbers, from its header alone."""

import json
import os
from typing import Any

import numpy as np

from efn_compose.arch import parameter_count
from efn_compose.store.weights.weight_file import WeightFile


def describe_weight_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a weight file says of itself: network, conventions, provenance, parts; JSON values.

    Raises:
        WeightFileError: The file is damaged, or not one of ours.

    Example:
        >>> describe_weight_file("b0.h5")["variant"]  # doctest: +SKIP
        'b0'
    """
    with WeightFile(path) as file:
        header = file.header
        donor_map = file.read_donor_map()
    fields = json.loads(header.to_json())
    arch = fields.pop("arch")
    if header.parts:
        fields["parts"] = {
            name: {
                "tensors": len(part.tensors),
                "parameters": sum(tensor.size for tensor in part.tensors),
                "settings": dict(part.settings),
            }
            for name, part in header.parts.items()
        }
    spec = header.spec
    return {
        "container": "efn_compose weight file",
        "variant": spec.variant,
        "family": spec.family,
        "stage_repeats": spec.stage_repeats,
        "stage_channels": spec.stage_channels,
        "stem_channels": spec.stem_channels,
        "top_channels": spec.top_channels,
        "normalisation": spec.normalisation,
        **fields,
        "parameters": parameter_count(spec, header.classes),
        "channels_by_donor": _channels_by_donor(donor_map),
        "arch": arch,
    }


def _channels_by_donor(donor_map: dict[str, np.ndarray]) -> dict[str, int]:
    """Return how many channels of composed weights come from each donor."""
    if not donor_map:
        return {}
    counts = np.bincount(np.concatenate(list(donor_map.values())))
    return {f"donor {number}": int(count) for number, count in enumerate(counts)}
