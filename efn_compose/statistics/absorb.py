"""Rewrite a network's BatchNorm for the statistics of other images; its function stays the same.

A checkpoint normalises with the statistics of the images it was trained on. From
its first step on, training replaces them by the statistics of each batch. If the new images look
different, this alone undoes much of the network's knowledge before it has learned anything. Gamma
and beta can take up the difference beforehand. The network then keeps its function, and a batch of
the new images normalises to the same values as the stored statistics.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from efn_compose.arch import STATISTIC_ROLES
from efn_compose.arch.layer_names import TOP_BN
from efn_compose.donors import Donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.errors import DataError
from efn_compose.numerics.moments import ChannelMoments, joined
from efn_compose.numerics.pixel_array import PixelArray

#: "body" leaves the last BatchNorm, which the classifier reads, as it is.
Part = Literal["all", "body"]

#: Training images whose statistics searches and trainings take, at most.
ABSORB_IMAGES = 320

#: Provenance key that says so.
ABSORBED_KEY = "absorbed"

#: Images that pass through the network together; fewer where memory asks for it.
_BATCH = 50


def absorb_statistics(donor: Donor, images: PixelArray, part: Part = "body") -> Donor:
    """Return a donor of the same function, its BatchNorm statistics taken from the images.

    With m, v stored, m', v' observed and e the network's epsilon, gamma becomes
    gamma * sqrt((v' + e) / (v + e)), and beta grows by gamma * (m' - m) / sqrt(v + e).
    In inference the logits stay the same, for any image. In training, which takes the
    statistics of each batch, they now begin near those logits.

    On images unlike those of the checkpoint the last features are often a few times smaller
    than a classifier was made for, and a fresh one then learns slowly. With "body" the last
    BatchNorm stays as it is. Inference is still the same, and in training that layer gives
    each feature its old size.

    Args:
        donor: The donor, with or without classifier.
        images: (image, height, width, 3), values 0-255, unlabelled, of the size that is trained
            at; some hundred.
        part: "body" lets training begin with the same input of the last BatchNorm, for a fresh
            classifier. "all" lets it begin with the same logits, for a classifier that stays.

    Returns:
        A donor of new BatchNorm tensors; all others are shared. `provenance["absorbed"]`
        holds the number of images, their size and the part.

    Raises:
        DataError: There are fewer than two images.
        ConfigError: The network has GroupNorm.

    Example:
        >>> donor = absorb_statistics(donor, train_images[:300])  # doctest: +SKIP
    """
    refuse_group_norm(donor.name, donor.spec, "absorbing")
    if len(images) < 2:
        raise DataError(
            f"Statistics need at least 2 images; some hundred are usual. Received: {len(images)}."
        )
    tensors = dict(donor.tensors)
    for norm, moments in _observed(donor, images).items():
        if part == "body" and norm == TOP_BN:
            continue
        tensors |= _rewritten(tensors, norm, moments, donor.conventions.bn_epsilon)
    record = {"images": len(images), "size": list(images.shape[1:3]), "part": part}
    provenance = {**donor.provenance, ABSORBED_KEY: record}
    return donor.replace(tensors=tensors, provenance=provenance)


def _rewritten(
    tensors: Mapping[str, np.ndarray], norm: str, moments: ChannelMoments, epsilon: float
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a BatchNorm's new tensors by name."""
    roles = ("gamma", "beta", *STATISTIC_ROLES)
    mean, variance = moments.mean, moments.variance
    gamma, beta, old_mean, old_variance = (
        tensors[f"{norm}/{role}"].astype(np.float64) for role in roles
    )
    slope = gamma / np.sqrt(old_variance + epsilon)
    new = (slope * np.sqrt(variance + epsilon), beta + slope * (mean - old_mean), mean, variance)
    for role, values in zip(roles, new, strict=True):
        name = f"{norm}/{role}"
        yield name, values.astype(tensors[name].dtype)


def _observed(donor: Donor, images: PixelArray) -> dict[str, ChannelMoments]:
    """Return the moments of what each BatchNorm reads, float64."""
    # Both import TensorFlow, which whoever only names a part can do without.
    from efn_compose.models.memory import inference_batch
    from efn_compose.statistics.repair import observed_statistics

    norms = [name.removesuffix("/gamma") for name in donor.tensors if name.endswith("/gamma")]
    size = min(_BATCH, inference_batch(donor.spec, max(images.shape[1:3])))
    parts: dict[str, list[ChannelMoments]] = {norm: [] for norm in norms}
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        found = observed_statistics(donor, donor.preprocess(batch))
        for norm in norms:
            mean, variance = (found[f"{norm}/{role}"] for role in STATISTIC_ROLES)
            parts[norm].append(ChannelMoments(len(batch), mean, variance))
    return {norm: joined(found) for norm, found in parts.items()}
