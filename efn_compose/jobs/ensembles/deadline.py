"""The moment from which on a job only finishes what it has."""

import math
import time


class Deadline:
    """Counts down from the moment it is made.

    Args:
        hours: Until the end; 0: there is none.

    Example:
        >>> Deadline(0).is_over(), Deadline(8).is_over()
        (False, False)
    """

    def __init__(self, hours: float) -> None:
        self._end = time.monotonic() + 3600 * hours if hours else math.inf

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return time.monotonic() > self._end
