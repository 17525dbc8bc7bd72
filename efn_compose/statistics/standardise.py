"""Starting weights for a training with weight standardisation."""

from efn_compose.arch import body
from efn_compose.donors import Donor
from efn_compose.donors.group_norm import with_group_norm
from efn_compose.donors.unet import joined_if_known
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.numerics.standardised import standardised_kernel
from efn_compose.statistics.repair import repair


def standardised(donor: Donor, images: PixelArray) -> Donor:
    """Return a donor with GroupNorm and standardised kernels.

    A filter loses its mean, which changes the function. BatchNorm statistics are therefore taken
    again from images, layer by layer, before GroupNorm takes their place. Depthwise kernels are
    not standardised: nine values without their mean could no longer pass a channel on. Nor are the
    two convolutions of a gate, which no normalisation follows, and those of a decoder.

    Args:
        donor: Any donor. Of one with GroupNorm the kernels alone change.
        images: (image, height, width, 3), values 0-255; some of those that are trained on.

    Example:
        >>> standardised(donor, train_images[:300]).spec.normalisation  # doctest: +SKIP
        'group'
    """
    donor = with_standardised_kernels(donor)
    if donor.spec.normalisation == "group":
        return donor
    whole = joined_if_known(donor)
    inputs = donor.preprocess(images[:])
    repaired = repair(whole.spec, whole.conventions, whole.tensors, inputs)
    own = {name: repaired[name] for name in donor.tensors}
    return with_group_norm(donor.replace(tensors=own), _layers(donor))


def with_standardised_kernels(donor: Donor) -> Donor:
    """Return a donor whose kernels are standardised where a training standardises them."""
    tensors = dict(donor.tensors)
    for layer in _layers(donor):
        tensors[f"{layer}/kernel"] = standardised_kernel(tensors[f"{layer}/kernel"])
    return donor.replace(tensors=tensors)


def _layers(donor: Donor) -> tuple[str, ...]:
    return tuple(op.name for op in body(donor.spec) if op.kind == "conv" and not op.has_bias)
