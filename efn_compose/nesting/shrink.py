"""A small network cut out of a large one of its family: a start for training, never exact."""

from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec, arch_spec, channel_groups
from efn_compose.donors import Donor
from efn_compose.donors.lineage import without_basis
from efn_compose.donors.unet import joined_if_known, parted
from efn_compose.errors import DataError
from efn_compose.nesting.compatibility import check_relation
from efn_compose.nesting.reducing.moments import measure_moments
from efn_compose.nesting.reducing.reduction import Reduction, choose_repeats
from efn_compose.nesting.reducing.refit import refit_on_images
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.verify import random_pixels
from efn_compose.nesting.running.weight_source import WeightSource

#: Pixels of all images together that are used at most; 256 images of 64 px.
MAX_PIXELS = 2**20
_HELD_OUT_SHARE = 4


def shrink(donor: Donor, target: ArchSpec | str, *, images: np.ndarray | None = None) -> Donor:
    """Cut a network's weights to a smaller network of its family.

    Units between nonlinearities are kept by how much they move the layers that
    read them; linear streams are cut to their principal axes; of a stage's
    repeats the first and the strongest stay; removed channels enter the next
    layer as its mean. A decoder is cut along with its network. With images,
    BatchNorm is re-estimated and every project convolution refitted. The result
    approximates the original and is meant as a
    start for training; its provenance says how far it agrees.

    Args:
        donor: The large network's weights.
        target: The small network or its variant name.
        images: RGB (image, height, width, 3), values 0-255, unlabelled, of the
            kind the network will see; some tens help much, about 256 of 64 px are
            used at most. A quarter is held out to measure the agreement. Without
            images, activations on random ones decide what is kept, and nothing is
            refitted.

    Returns:
        A donor of the target network. The last of its provenance's `steps` holds
        "agreement": `correlation` of the outputs with the original's, over images,
        at most 1; `same_top_class`, a share in 0-1 (None without classifier); with a decoder
        `mask_correlation`, the same of what it puts out.

    Raises:
        NestingError: The target is larger or built differently; every reason is listed.
        DataError: Fewer than four images.
        FurtherPartError: The donor has a part beside backbone, head and decoder.

    Example:
        >>> small = shrink(load_donor("b4.h5"), "b0", images=images)  # doctest: +SKIP
        >>> small.provenance["steps"][-1]["agreement"]["correlation"]  # doctest: +SKIP
        0.62
    """
    donor = joined_if_known(donor)
    donor.refuse_parts("cutting a network smaller")
    spec = arch_spec(target) if isinstance(target, str) else target
    spec = spec.with_decoder(donor.spec.decoder)
    check_relation(spec, donor.spec, "be cut from")
    pixels = random_pixels(24) if images is None else _enough(np.asarray(images))
    held_out = max(1, len(pixels) // _HELD_OUT_SHARE)
    inputs = donor.preprocess(pixels)
    seen, unseen = inputs[:-held_out], inputs[-held_out:]
    source = WeightSource.of(donor)
    moments = measure_moments(source, seen)
    blocks = choose_repeats(donor.spec, spec, moments.addition_shares)
    reduction = Reduction(source, spec, blocks, moments)
    tensors = reduction.all_tensors()
    if images is not None:
        tensors = refit_on_images(reduction, tensors, seen)
    small = Donor(f"{donor.name}-cut-to-{spec.variant}", spec, donor.conventions, tensors)
    step = {
        "step": "shrink",
        "from": donor.spec.variant,
        "target": spec.variant,
        "kept_blocks": blocks,
        "refitted": images is not None,
        "agreement": {
            "images": "random" if images is None else "held-out",
            **agreement(source, reduction, small, unseen),
        },
    }
    first = without_basis(donor.provenance)
    return parted(small.replace(provenance={**first, "steps": [*first.get("steps", []), step]}))


def agreement(
    source: WeightSource, reduction: Reduction, small: Donor, inputs: np.ndarray
) -> dict[str, Any]:
    """Return how far a cut network's outputs follow the original's.

    Args:
        source: The original.
        reduction: The cut; for networks without classifier, says which features compare.
        small: The cut network.
        inputs: Preprocessed images (image, height, width, 3).
    """
    expected = NumpyNetwork(source, "float32").run(inputs)
    cut = WeightSource.of(small)
    result = NumpyNetwork(cut, "float32").run(inputs)
    same = None
    if source.classes is None:
        last = list(channel_groups(reduction.target.with_decoder(None)))[-1]
        expected = reduction.bases[last].reduce(expected, 1)
    else:
        same = float((expected.argmax(axis=1) == result.argmax(axis=1)).mean())
    found = {
        "image_count": len(inputs),
        "correlation": _correlation(expected, result),
        "same_top_class": same,
    }
    if source.spec.decoder is not None:
        masks = [NumpyNetwork(one, "float32").masks(inputs) for one in (source, cut)]
        found["mask_correlation"] = _correlation(*(part.reshape(-1, 1) for part in masks))
    return found


def _correlation(expected: np.ndarray, result: np.ndarray) -> float:
    first, second = (values - values.mean(axis=0) for values in (expected, result))
    power = float(np.linalg.norm(first) * np.linalg.norm(second))
    return min(1.0, float((first * second).sum()) / power) if power else 0.0


def _enough(images: np.ndarray) -> np.ndarray:
    """Return the images that are used, evenly spread."""
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) < 4:
        raise DataError(
            "shrink needs at least four images (image, height, width, 3), or none. "
            f"Received: an array of shape {images.shape}."
        )
    most = max(4, MAX_PIXELS // (images.shape[1] * images.shape[2]))
    if len(images) <= most:
        return images
    return images[np.linspace(0, len(images) - 1, most).round().astype(int)]
