"""Counts failed evaluations, and explains a row of them."""

import re
from collections import Counter

from efn_compose.errors import EvaluationError

#: Part of a reason -> kind of failure and what helps. The first that fits is taken.
_KINDS = (
    (
        "training diverged",
        "training diverges",
        "The learning rate may be too high: --set fitness.learning_rate=3e-4 (in a new run path).",
    ),
    (
        r"no answer within",
        "evaluations hang",
        "Look at the machine's load and its file systems; raise executor.patience if a first "
        "evaluation truly takes that long.",
    ),
    (
        r"MemoryError|ResourceExhausted|OutOfMemory|out of memory|OOM",
        "memory runs out",
        "Use fewer workers (--set executor.workers=1) or smaller batches (in a new run path).",
    ),
    (
        r"No space left|ENOSPC",
        "the disk is full",
        "Free some space; workers also need room in the temporary folder and in shared memory.",
    ),
    (
        r"worker died",
        "workers die",
        "Look for the kernel's out-of-memory messages (dmesg); efn-compose doctor checks the rest. "
        "--set executor.workers=1 needs least memory.",
    ),
)


def failure_kind(error: str) -> str:
    """Return what kind of failure a reason describes; alike reasons give the same words.

    Example:
        >>> failure_kind("training diverged: training loss is nan")
        'training diverges'
        >>> failure_kind("KeyError: 'a' (units.py:12)")
        'KeyError'
    """
    for pattern, kind, _ in _KINDS:
        if re.search(pattern, error):
            return kind
    return re.sub(r"\d+", "N", error.split(":")[0])[:80]


class FailureCount:
    """Stops a run whose evaluations all fail.

    Args:
        limit: Failures of one kind in a row that end the run; three times this number of
            any kinds ends it, too.

    Example:
        >>> count = FailureCount(limit=2)
        >>> count.take("worker died"), count.take(None), count.take("worker died")
        (None, None, None)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kinds: Counter[str] = Counter()
        self._row, self._kind = 0, ""

    def take(self, error: str | None) -> None:
        """Take an evaluation's reason, None for success.

        Raises:
            EvaluationError: Too many in a row; the message has a diagnosis.
        """
        if error is None:
            self._kinds.clear()
            self._row, self._kind = 0, ""
            return
        kind = failure_kind(error)
        self._kinds[kind] += 1
        self._row = self._row + 1 if kind == self._kind else 1
        self._kind = kind
        total = sum(self._kinds.values())
        if self._row >= self._limit or total >= 3 * self._limit:
            kinds = ", ".join(f"{name} {n} times" for name, n in self._kinds.most_common())
            advice = next((words for _, name, words in _KINDS if name == kind), "")
            raise EvaluationError(
                f"{total} evaluations failed in a row ({kinds}), the last one with: {error}. "
                f"Nothing is lost: mend the cause and resume the run. {advice}".rstrip()
            )
