"""Mixtures of units within blocks, and the control in which the foreign units are silent."""

from collections.abc import Mapping

import numpy as np

from efn_compose.arch import block_groups
from efn_compose.compose.space import DonorMap, expanded_groups, segments
from efn_compose.donors import Donor
from efn_compose.errors import ComposeError


def drop_units(
    tensors: Mapping[str, np.ndarray], donor_map: DonorMap, keep: int
) -> dict[str, np.ndarray]:
    """Return tensors in which all units that are not of one donor are silent.

    The control that every unit mixture must beat: a unit that hurts more than its
    absence is worth nothing.

    Args:
        tensors: Arrays by canonical name; not changed.
        donor_map: Donor per unit.
        keep: Number of the donor whose units stay.
    """
    silenced = dict(tensors)
    for group, units in donor_map.units.items():
        block = group.removesuffix("_expanded")
        name = f"{block}_project_conv/kernel"
        kept = (units == keep).astype(tensors[name].dtype)
        silenced[name] = tensors[name] * kept[:, None]
        # Silent at the source too, or a refit would bring the units back.
        kind = "depthwise" if f"{block}_depthwise_bn/gamma" in tensors else "expand"
        for role in ("gamma", "beta"):
            name = f"{block}_{kind}_bn/{role}"
            silenced[name] = tensors[name] * kept
    return silenced


def hosted(donor: Donor, units: Mapping[str, np.ndarray], host: int = 0) -> DonorMap:
    """Return a donor map with one host everywhere and mixed units in some blocks.

    Args:
        donor: Any donor of the network.
        units: (unit,) donor numbers by expanded group.
        host: Number of the host.

    Raises:
        ComposeError: A group does not exist or has another size; all are listed.
    """
    sizes = {
        groups[1]: donor.tensors[f"{block}_project_conv/kernel"].shape[2]
        for block, groups in block_groups(donor.spec).items()
        if block in expanded_groups(donor.spec)
    }
    problems = [f"{name}: no such group" for name in units if name not in sizes]
    problems += [
        f"{name}: {len(values)} units, expected {sizes[name]}"
        for name, values in units.items()
        if name in sizes and len(values) != sizes[name]
    ]
    if problems:
        raise ComposeError("Units do not fit the network: " + "; ".join(problems) + ".")
    return DonorMap(dict.fromkeys(segments(donor.spec), host), dict(units))
