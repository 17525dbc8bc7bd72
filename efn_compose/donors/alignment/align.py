"""Bring independently trained donors into one channel basis, on unlabelled images.

Two trainings find similar channels in different order, and their residual
streams in different bases. Alignment carries every donor into the basis of a
reference: expanded, squeeze-and-excite, stem and top channels by the matching
of activations with the largest correlation, residual streams by a linear map
that folds exactly into the convolutions around them. Except with
`method="linear"` alignment keeps the function of a donor.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Literal

import numpy as np

from efn_compose.arch import ChannelGroup, channel_groups
from efn_compose.arch.layer_names import STEM_CONV, is_part
from efn_compose.donors.alignment.activations import (
    POSITIONS,
    PairMoments,
    addition_moments,
    compare_activations,
    taps,
)
from efn_compose.donors.alignment.assignment import best_matching, matched_mean
from efn_compose.donors.alignment.stream_maps import (
    StreamMap,
    StreamMoments,
    procrustes,
    ridge_pair,
    signed_permutation,
    whitened,
)
from efn_compose.donors.alignment.transform import map_stream, permute_group
from efn_compose.donors.donor import Donor, load_donor
from efn_compose.donors.harmonise import require_harmonised
from efn_compose.donors.lineage import ALIGNED_KEY, LINEAGE_KEY, lineages
from efn_compose.donors.unet import joined_if_known, parted
from efn_compose.errors import IncompatibleDonorsError
from efn_compose.numerics.pixel_array import PixelArray, in_parts

Method = Literal["procrustes", "whitened", "linear", "permutation"]
METHODS: tuple[str, ...] = ("procrustes", "whitened", "linear", "permutation")

#: Part of the cache key; raise it whenever the result of alignment changes.
ALIGNMENT_VERSION = 1

_STREAM_FITS = {"procrustes": procrustes, "whitened": whitened, "linear": ridge_pair}


@dataclass(frozen=True)
class GroupMatch:
    """How well one group of a donor fits the reference, before and after alignment.

    Args:
        group: Name of the channel group.
        kind: "permutation", "signed permutation" or the stream method.
        before: Mean correlation of channels in identity order; for linear
            streams R² of the identity after removing means.
        after: The same after alignment, on the images it was fitted to.
    """

    group: str
    kind: str
    before: float
    after: float


@dataclass(frozen=True)
class Alignment:
    """Aligned donors and how well they fit.

    Args:
        donors: In the order given; the reference and its lineage are unchanged.
        matches: By donor name, one record per group; empty for the reference's lineage.
        reused: Names of donors that were found in the cache.
    """

    donors: list[Donor]
    matches: Mapping[str, Sequence[GroupMatch]]
    reused: tuple[str, ...] = ()

    def by_kind(self, name: str) -> dict[str, dict[str, float]]:
        """Return for each kind of group of a donor: how many, their mean match before and after."""
        matches = self.matches.get(name, [])
        kinds = dict.fromkeys(match.kind for match in matches)
        return {
            kind: {
                "groups": sum(match.kind == kind for match in matches),
                "before": mean(match.before for match in matches if match.kind == kind),
                "after": mean(match.after for match in matches if match.kind == kind),
            }
            for kind in kinds
        }


def align(
    donors: Sequence[Donor],
    images: PixelArray,
    *,
    reference: int = 0,
    method: Method = "procrustes",
    positions: int = POSITIONS,
    batch_size: int = 16,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
) -> Alignment:
    """Return donors in the channel basis of a reference.

    Donors of one lineage share a basis already: each lineage gets one map, fitted
    on its first member, and the reference's own lineage stays as it is.

    Args:
        donors: Harmonised donors of one network.
        images: (image, height, width, 3), RGB, 0-255, unlabelled. 200 are plenty,
            40 usable; take the data and the size that later trainings use.
        reference: Number of the donor whose basis the others get.
        method: Map of the residual streams: "procrustes" (rotation and scale),
            "whitened" (rotation between whitened streams), "linear" (two
            regressions; predicts best but changes the donor's function), or
            "permutation" (the wrong tool, kept to show it).
        positions: Random positions per image and feature map.
        batch_size: Images per step; bounds memory.
        seed: Chooses the positions.
        cache: Folder that keeps aligned donors, found again by the fingerprints of
            both donors, the images and the options.

    Returns:
        Donors in the given order, with `provenance["aligned"]` and
        `provenance["lineage"]`, and the quality of each group's match.

    Raises:
        IncompatibleDonorsError: The donors are not harmonised.

    Example:
        >>> aligned = align(harmonise(donors), images[:200]).donors  # doctest: +SKIP
    """
    # A decoder reads the streams that are mapped: it is carried along, its own channels as they are.
    donors = [joined_if_known(donor) for donor in donors]
    require_harmonised(donors)
    if method not in METHODS:
        raise IncompatibleDonorsError(f"method must be one of {METHODS}. Received: {method!r}.")
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) < 2:
        raise IncompatibleDonorsError(
            "Alignment needs at least two RGB images, (image, height, width, 3) with values "
            f"0-255. Received: shape {images.shape}."
        )
    options = {"positions": positions, "batch_size": batch_size, "seed": seed}
    aligned, matches = list(donors), {}
    reused: list[str] = []
    groups = lineages(donors)
    for group in groups:
        label = donors[group[0]].provenance.get(LINEAGE_KEY, donors[group[0]].fingerprint)
        for number in group:
            provenance = {**donors[number].provenance, LINEAGE_KEY: label}
            aligned[number] = donors[number].replace(provenance=provenance)
    for group in groups:
        if reference in group:
            continue
        first = donors[group[0]]
        key = _cache_key(donors[reference], first, images, method, options)
        stored = _read_cache(cache, key, [aligned[number] for number in group])
        if stored is not None:
            reused += [donor.name for donor in stored]
        else:
            stored = _align_lineage(
                [aligned[number] for number in group], aligned[reference], images, method, options
            )
            _write_cache(cache, key, stored)
        for number, donor in zip(group, stored, strict=True):
            aligned[number] = donor
            matches[donor.name] = [
                GroupMatch(**match) for match in donor.provenance[ALIGNED_KEY]["groups"]
            ]
    return Alignment([parted(donor) for donor in aligned], matches, tuple(reused))


def _align_lineage(
    members: Sequence[Donor],
    reference: Donor,
    images: PixelArray,
    method: Method,
    options: Mapping[str, int],
) -> list[Donor]:
    """Fit the maps of a lineage on its first member and apply them to all of it."""
    statistics = compare_activations(members[0], reference, images, **options)
    fitted = _fit(members[0], statistics.groups, method)
    aligned = []
    for number, donor in enumerate(members):
        additions = (
            statistics.additions if number == 0 else addition_moments(donor, images, **options)
        )
        record = {
            "from": donor.fingerprint,
            "to": reference.name,
            "to_fingerprint": reference.fingerprint,
            "to_lineage": reference.provenance[LINEAGE_KEY],
            "method": method,
            "images": list(images.shape),
            "groups": [dataclasses.asdict(match) for _, match in fitted.values()],
        }
        aligned.append(
            donor.replace(
                tensors=_transformed(
                    donor, {name: m for name, (m, _) in fitted.items()}, additions
                ),
                provenance={**donor.provenance, ALIGNED_KEY: record},
            )
        )
    return aligned


def _fit(
    donor: Donor, moments: Mapping[str, PairMoments], method: Method
) -> dict[str, tuple[StreamMap | np.ndarray, GroupMatch]]:
    """Return for each group the permutation or map to the reference, and its quality."""
    fitted: dict[str, tuple[StreamMap | np.ndarray, GroupMatch]] = {}
    points: dict[str, list[str]] = {}
    for tap in taps(donor.spec):
        points.setdefault(tap.group, []).append(tap.point)
    for name, group in channel_groups(donor.spec.with_decoder(None), donor.classes).items():
        seen = [moments[point] for point in points[name]]
        correlation = np.mean([found.correlation for found in seen], axis=0)
        before = float(np.diag(correlation).mean())
        if group.is_linear and method != "permutation":
            stream = StreamMoments.pooled(seen)
            mapped = _STREAM_FITS[method](stream)
            match = GroupMatch(
                name,
                method,
                stream.explained(np.eye(group.size)),
                stream.explained(mapped.forward),
            )
            fitted[name] = mapped, match
        elif group.kind == "stream" and method != "permutation" and _feeds_depthwise(group):
            mapped = signed_permutation(StreamMoments.diagonal(seen))
            after = float(np.abs(correlation[mapped.order, np.arange(group.size)]).mean())
            fitted[name] = mapped, GroupMatch(name, "signed permutation", before, after)
        else:
            order = best_matching(correlation)
            after = matched_mean(correlation, order)
            fitted[name] = order, GroupMatch(name, "permutation", before, after)
    return fitted


def _feeds_depthwise(group: ChannelGroup) -> bool:
    """Return whether the group is a stream without activation that a depthwise reads."""
    layers = {member.tensor.layer for member in group.members}
    has_depthwise = any(is_part(layer, "depthwise_conv") for layer in layers)
    return has_depthwise and STEM_CONV not in layers


def _transformed(
    donor: Donor,
    maps: Mapping[str, StreamMap | np.ndarray],
    additions: Mapping[str, PairMoments],
) -> dict[str, np.ndarray]:
    """Return a donor's tensors with every group in its new basis."""
    tensors = dict(donor.tensors)
    groups = channel_groups(donor.spec, donor.classes)
    for name, found in maps.items():
        if isinstance(found, StreamMap):
            epsilon = donor.conventions.bn_epsilon
            map_stream(tensors, donor.spec, groups[name], found, additions, epsilon)
        else:
            permute_group(tensors, groups[name], found)
    return tensors


def _cache_key(
    reference: Donor,
    donor: Donor,
    images: PixelArray,
    method: Method,
    options: Mapping[str, int],
) -> str:
    """Return what an alignment depends on, as a short hexadecimal text."""
    digest = hashlib.sha256()
    for part in in_parts(images):
        digest.update(np.ascontiguousarray(part).data)
    parts = [ALIGNMENT_VERSION, reference.fingerprint, donor.fingerprint, method, options]
    digest.update(json.dumps([*parts, images.shape, str(images.dtype)], sort_keys=True).encode())
    return digest.hexdigest()[:24]


def _cache_path(folder: str | os.PathLike[str], key: str, fingerprint: str) -> Path:
    return Path(folder) / f"{key}-{fingerprint[:12]}.h5"


def _read_cache(
    folder: str | os.PathLike[str] | None, key: str, donors: Sequence[Donor]
) -> list[Donor] | None:
    """Return the aligned donors of an earlier call, or None unless all are there."""
    if folder is None:
        return None
    paths = [_cache_path(folder, key, donor.fingerprint) for donor in donors]
    if not all(path.exists() for path in paths):
        return None
    stored = [joined_if_known(load_donor(path)) for path in paths]
    return [
        donor.replace(
            tensors=found.tensors,
            provenance={**donor.provenance, ALIGNED_KEY: found.provenance[ALIGNED_KEY]},
        )
        for donor, found in zip(donors, stored, strict=True)
    ]


def _write_cache(folder: str | os.PathLike[str] | None, key: str, aligned: Sequence[Donor]) -> None:
    if folder is None:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    for donor in aligned:
        # Named by the donor that came in, which the aligned one no longer is.
        source = donor.provenance[ALIGNED_KEY]["from"]
        parted(donor).save(_cache_path(folder, key, source))
