"""What a command says: a text for people or one JSON document for machines, and progress."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """Where a verb's words go.

    Args:
        as_json: Print results as one JSON document instead of text.
        is_quiet: Print no text and draw no progress; errors and JSON still come.
    """

    as_json: bool = False
    is_quiet: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether jobs draw no progress: nobody wants it, or a machine reads."""
        return self.is_quiet or self.as_json

    def result(self, value: Mapping[str, Any], text: str) -> None:
        """Print what a verb has found or done, in the form asked for.

        Args:
            value: JSON values.
            text: The same for people.
        """
        if self.as_json:
            # Names that the terminal's encoding lacks are escaped, and stay what they are.
            is_utf = (sys.stdout.encoding or "").lower().startswith("utf")
            text = json.dumps(value, indent=2, ensure_ascii=not is_utf, default=str)
            sys.stdout.write(text + "\n")
        elif not self.is_quiet:
            sys.stdout.write(text.rstrip("\n") + "\n")
        # A command may go on for hours after it, as one that serves a page does.
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print a line beside the result, on standard error."""
        if not self.is_quiet:
            sys.stderr.write(f"{text}\n")

    def error(self, kind: str, message: str) -> None:
        """Print an error on standard error, and as JSON on standard output where that was asked."""
        if self.as_json:
            sys.stdout.write(json.dumps({"error": kind, "message": message}) + "\n")
        sys.stderr.write(f"efn-compose: {message}\n")
