"""A report that is drawn while its run goes on, without slowing it down."""

import os
import time

from efn_compose.analysis.page.report import write_report

#: Least seconds of searching per second of drawing.
SHARE = 30.0


class LiveReport:
    """Draws a run's report again and again; an error in it never reaches the run.

    Args:
        run_path: The run folder.

    Example:
        >>> live = LiveReport("runs/absent")
        >>> live.draw()
        >>> live.problem
        'RunError: runs/absent: no such run folder.'
    """

    def __init__(self, run_path: str | os.PathLike[str]) -> None:
        self._path = run_path
        self._free_at = 0.0
        self.problem = ""

    def draw(self) -> None:
        """Draw the page, unless drawing would take more than a thirtieth of the time.

        Any exception is caught: a picture is not worth a run.
        """
        start = time.monotonic()
        if start < self._free_at:
            return
        try:
            write_report(self._path)
            self.problem = ""
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
        end = time.monotonic()
        self._free_at = end + SHARE * (end - start)
