"""What a network of a study starts from: one donor, cut and nested to it, or random weights."""

import numpy as np

from efn_compose.arch import ArchSpec, arch_spec, inventory
from efn_compose.arch.variants import base_of, coefficients_of
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, NestingError
from efn_compose.nesting import nest, plan_nesting, shrink
from efn_compose.nesting.compatibility import check_relation
from efn_compose.nesting.fills import fresh_values

#: Training images that a cut is fitted on, at most.
CUT_IMAGES = 64


def target_spec(
    donor: Donor, network: str | None, width: float | None, depth: float | None
) -> ArchSpec:
    """Return the network of a point.

    Args:
        donor: Whose network is the default.
        network: A name, or None.
        width: Width coefficient of the network's base, or None for its own.
        depth: Depth coefficient, or None.

    Raises:
        ConfigError: A coefficient is asked for, and the network is in no table of bases.
    """
    spec = donor.spec if network is None else arch_spec(network)
    if width is None and depth is None:
        return spec
    base, own = base_of(spec), coefficients_of(spec)
    if base is None or own is None:
        raise ConfigError(
            f"{spec.variant}: of no base that width and depth coefficients scale. Name one in "
            "study.networks, such as lite0."
        )
    chosen = own[0] if width is None else width, own[1] if depth is None else depth
    if chosen == own:
        return spec
    return arch_spec(f"{base}-w{chosen[0]:g}-d{chosen[1]:g}")


def random_start(donor: Donor, spec: ArchSpec, seed: int) -> Donor:
    """Return fresh weights of a network, to be run as the donor's are.

    Args:
        donor: Gives the conventions.
        spec: The network.
        seed: Decides the weights.
    """
    tensors = {tensor.name: fresh_values(tensor, "he", seed) for tensor in inventory(spec)}
    return Donor(f"random-{spec.variant}", spec, donor.conventions, tensors)


def check_start(donor: Donor, spec: ArchSpec) -> None:
    """Find out whether a donor can be brought to a network, before any weight is touched.

    Raises:
        NestingError: Another family, or a wiring that is larger here and smaller there.
    """
    middle = _middle(donor.spec, spec)
    if not middle.same_tensors_as(donor.spec):
        check_relation(middle, donor.spec, "be cut from")
    if not middle.same_tensors_as(spec):
        plan_nesting([middle], spec)


def spread_numbers(numbers: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of some images, evenly spaced.

    Args:
        numbers: (image,) of the images that may be looked at.
        most: Images wanted.

    Example:
        >>> spread_numbers(np.arange(10), 4).tolist()
        [0, 3, 6, 9]
    """
    places = np.linspace(0, len(numbers) - 1, min(most, len(numbers)))
    return numbers[places.round().astype(int)]


def donor_start(donor: Donor, spec: ArchSpec, images: np.ndarray) -> Donor:
    """Return a donor's weights in another network: cut to what both have, nested into the rest.

    Nesting keeps the function. Cutting approximates it, refitted on images.

    Args:
        donor: The weights.
        spec: The network.
        images: (image, side, side, 3) uint8 training images, few; their labels are not used.

    Raises:
        NestingError: As for `check_start`.
    """
    middle = _middle(donor.spec, spec)
    if not middle.same_tensors_as(donor.spec):
        donor = shrink(donor, middle, images=images)
    return donor if donor.spec.same_tensors_as(spec) else nest(donor, spec)


def _middle(own: ArchSpec, target: ArchSpec) -> ArchSpec:
    """Return the largest network of the tables that fits into both."""
    if own.same_tensors_as(target):
        return own
    base, first, second = base_of(own), coefficients_of(own), coefficients_of(target)
    if base is not None and base == base_of(target) and first and second:
        width, depth = (min(pair) for pair in zip(first, second, strict=True))
        for spec, has in ((own, first), (target, second)):
            if has == (width, depth):
                return spec
        return arch_spec(f"{base}-w{width:g}-d{depth:g}")
    try:
        plan_nesting([own], target)
    except NestingError as reason:
        try:
            check_relation(target, own, "be cut from")
        except NestingError:
            # The reason of the direction that people try first.
            raise reason from None
        return target
    return own
