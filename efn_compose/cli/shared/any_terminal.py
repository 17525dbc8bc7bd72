"""Standard output and error that take any text, whatever the terminal can show."""

import io
import os
import sys


def print_anywhere() -> None:
    """Replace characters that the terminal cannot show, and do without a terminal where none is.

    Containers, cron jobs and batch systems often run with ASCII output, or with none. A command
    must end with its own exit code there.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if name == "stderr" else "replace")
