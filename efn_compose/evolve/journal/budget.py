"""The end of a search, early enough for finals and test to fit into the budget."""

import math
from typing import Any

from efn_compose.compose import Genome
from efn_compose.evolve.journal.planning import PICTURES
from efn_compose.evolve.journal.run_clock import RunClock
from efn_compose.evolve.options import BudgetOptions

#: Finals take longer than the latest evaluations say: they score two splits, and workers wait.
_MARGIN = 1.2
#: Evaluations that take about as long as the work after the last one: the pictures of the report, and
#: the composing of the written weights.
_AFTERWARDS = PICTURES + 1


class Budget:
    """Decides when a search ends, and keeps time for finals and test.

    Args:
        options: The allowed hours and evaluations.
        clock: The time used, and how long an evaluation takes.
        workers: Number of workers.

    Example:
        >>> budget = Budget(BudgetOptions(evaluations=100), RunClock(), workers=2)
        >>> budget.ending_of_search(count=60, coming=10, ending=30) is None
        True
        >>> budget.ending_of_search(count=64, coming=10, ending=30)["limit"]
        'evaluations'
    """

    def __init__(self, options: BudgetOptions, clock: RunClock, workers: int) -> None:
        self.options, self.clock, self.workers = options, clock, workers
        self._best: Genome | None = None
        self._best_since = 0

    @property
    def is_set(self) -> bool:
        """Whether the budget, and not the number of generations, ends the search."""
        return self.options.is_set

    @property
    def is_open(self) -> bool:
        """Whether nobody can say beforehand how many evaluations there will be."""
        return self.is_set and not self.options.evaluations

    @property
    def seconds_left(self) -> float | None:
        """Time left of the hours allowed, at least 0; None where they are not limited."""
        if not self.options.hours:
            return None
        return max(0.0, self.options.hours * 3600 - self.clock.seconds)

    def reserve_seconds(self, ending: int) -> float:
        """Return the time to keep for what follows the search, at the latest evaluations' pace."""
        each = self.clock.seconds_per_evaluation or 0.0
        # All workers are waited for four times: finalists, rivals, test, pictures.
        after = ending + _AFTERWARDS
        return _MARGIN * each * (after / self.workers + 4 * (self.workers > 1))

    def believed(self, best: Genome | None, count: int) -> None:
        """Learn which genome is believed best after a number of evaluations."""
        if best != self._best:
            self._best, self._best_since = best, count

    def ending_of_search(self, count: int, coming: int, ending: int) -> dict[str, Any] | None:
        """Return the event that ends the search here, None where it goes on.

        Args:
            count: Evaluations so far.
            coming: Evaluations that going on would make before the next decision.
            ending: Evaluations that would follow the search if it ended there.
        """
        options = self.options
        if options.evaluations and count + coming + ending > options.evaluations:
            words = (
                f"{count} evaluations made; {coming} more, and {ending} for all that follows the search, "
                f"would be more than {options.evaluations}"
            )
            return _event("evaluations", words)
        if options.until_no_better and count - self._best_since >= options.until_no_better:
            return _event("no better", f"nothing better in {count - self._best_since} evaluations")
        left = self.seconds_left
        if left is not None:
            each = self.clock.seconds_per_evaluation or 0.0
            reserve = self.reserve_seconds(ending)
            needed = each * math.ceil(coming / self.workers) + reserve
            if needed > left:
                words = (
                    f"{self.clock.seconds / 3600:.2f} of {options.hours:g} h used, about "
                    f"{reserve / 60:.1f} min kept for finals and test"
                )
                return _event("hours", words)
        return None


def _event(limit: str, words: str) -> dict[str, Any]:
    return {"event": "end_of_search", "limit": limit, "timing": {"words": words}}
