"""What an export wrote, for people and for machines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote and how to load it.

    Args:
        path: The file, or the folder.
        target: Name of the target.
        load: Python that builds the library's model with these weights.
        input_note: The input that this model expects.
        folded: One line per exact arithmetic change.
        approximations: One line per property that the target cannot express.
        relative_error: Largest logit change by the approximations, in units of the
            logits' standard deviation; 0 without them.
        tensors: Number of tensors in the file.
    """

    path: Path
    target: str
    load: str
    input_note: str
    folded: tuple[str, ...] = ()
    approximations: tuple[str, ...] = ()
    relative_error: float = 0.0
    tensors: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {
            "path": str(self.path),
            "target": self.target,
            "load": self.load,
            "input": self.input_note,
            "folded": list(self.folded),
            "approximations": list(self.approximations),
            "relative_error": self.relative_error,
            "tensors": self.tensors,
        }
