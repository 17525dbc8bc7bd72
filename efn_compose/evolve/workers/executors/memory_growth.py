"""Workers that have outgrown their memory, and are replaced after their answer."""

from collections.abc import Callable

#: Growth, over its memory after the first answer, allowed to a worker that begins above the limit.
_GROWTH = 1.5


class MemoryGrowth:
    """Judges workers by the memory that they have after each answer.

    Args:
        limit_mb: `executor.memory_limit_mb`; 0: none.
        note: Told once where workers begin above it.

    Example:
        >>> growth = MemoryGrowth(1000, print)
        >>> growth.is_too_much(first_mb=600, memory_mb=900), growth.is_too_much(600, 1100)
        (False, True)
    """

    def __init__(self, limit_mb: int, note: Callable[[str], None]) -> None:
        self._limit, self._note, self._is_told = limit_mb, note, False

    def is_too_much(self, first_mb: float, memory_mb: float) -> bool:
        """Return whether a worker has outgrown its memory.

        A worker that starts above the limit needs that memory, for many images for example.
        Replacing it would not help, so it is kept.

        Args:
            first_mb: After its first answer.
            memory_mb: Now.
        """
        if not self._limit:
            return False
        if first_mb <= self._limit:
            return memory_mb > self._limit
        if not self._is_told:
            self._is_told = True
            self._note(
                f"Workers begin with {first_mb:,.0f} MB, more than executor.memory_limit_mb = "
                f"{self._limit:,}. They are kept until they have grown to {_GROWTH:g} times as much."
            )
        return memory_mb > _GROWTH * first_mb
