"""A progress bar for long writes: bytes, speed, time left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds between plain lines where there is no terminal.
_LINE_SECONDS = 5.0


@contextmanager
def byte_progress(
    label: str, total: int, *, quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many more bytes are done.

    On a terminal a bar with bytes, speed and time left; elsewhere a plain line
    every few seconds; both on standard error.

    Args:
        label: The name of the file or task.
        total: Bytes in all.
        quiet: Show nothing.

    Example:
        >>> with byte_progress("l3.h5", 6_000_000_000) as progress:  # doctest: +SKIP
        ...     write_weights("l3.h5", header, source, progress=progress)
    """
    if quiet:
        yield lambda _count: None
    elif sys.stderr.isatty():
        with _rich_bar(label, total) as advance:
            yield advance
    else:
        yield _PlainLines(label, total).advance


@contextmanager
def _rich_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


class _PlainLines:
    """Progress as lines for logs."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, total, 0
        self.started = self.printed = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.printed < _LINE_SECONDS:
            return
        self.printed = now
        left = (now - self.started) * (self.total - self.done) / max(self.done, 1)
        sys.stderr.write(
            f"{self.label}: {self.done / 1e6:,.0f} of {self.total / 1e6:,.0f} MB, "
            f"{left:.0f} s left\n"
        )
