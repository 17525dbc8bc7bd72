"""The report of a conversion, for people and for machines."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from efn_compose.checkpoints.dialects.dialect import Resolved
from efn_compose.checkpoints.dialects.mapping import MappingReport


@dataclass(frozen=True)
class ConversionReport:
    """Everything a conversion did and relied on.

    Args:
        source: File name, or the name that was asked for ("package:...").
        container: Container of the file.
        dialect: Name of the dialect.
        variant: Name of the network.
        classes: Width of the classifier, None without one.
        parameters: Number of trainable parameters.
        sha256: Of the source file.
        licence: SPDX name.
        mapping: The fate of every tensor.
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

    def provenance(self) -> dict[str, Any]:
        """Return the provenance that a weight file keeps; JSON values."""
        return {
            "source": self.source,
            "sha256": self.sha256,
            "container": self.container,
            "dialect": self.dialect,
            "licence": self.licence,
            "notes": list(self.notes),
            "folded": list(self.mapping.folded),
            "ignored": by_reason(self.mapping),
            "dtypes": dict(self.mapping.dtypes),
            "convention_sources": dict(self.resolved.sources),
            **self.resolved.provenance,
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
        lines += [f"  ignored: {count} {reason}" for reason, count in by_reason(mapping).items()]
        for field in dataclasses.fields(conventions):
            value = getattr(conventions, field.name)
            source = self.resolved.sources.get(field.name, "default of the network's family")
            if field.name == "preprocessing":
                value = value.formula
            lines.append(f"  {field.name}: {value}  [{source}]")
        return "\n".join(lines)


def by_reason(mapping: MappingReport) -> dict[str, int]:
    """Return how many tensors were left out, by reason."""
    counts: dict[str, int] = {}
    for _, reason in mapping.ignored:
        counts[reason] = counts.get(reason, 0) + 1
    return counts
