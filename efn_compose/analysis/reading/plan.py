"""The work that is left in an unfinished run."""

from dataclasses import dataclass

from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.timing import Timing
from efn_compose.evolve.options import FinalsOptions


@dataclass(frozen=True)
class Outlook:
    """The work that is left in a run.

    Args:
        planned: Most evaluations that the whole run may make.
        left: Most evaluations that are still to come.
        seconds: For these, at the pace so far; None where the pace is not known.
    """

    planned: int
    left: int
    seconds: float | None


def outlook(run: RunView, clock: Timing) -> Outlook | None:
    """Return the work that is left; None if the run is finished or the plan is unknown."""
    kind, finals = run.kind, run.section("finals", FinalsOptions)
    if run.result or not run.donors or kind is None or finals is None:
        return None
    budget = run.config.get("budget")
    budget = budget if isinstance(budget, dict) else {}
    if budget.get("hours") or budget.get("until_no_better") or budget.get("evaluations"):
        return None
    planned = kind.plan(finals, len(run.founders)).evaluations
    left = max(0, planned - len(run.evaluations))
    rate = clock.evaluations_per_hour
    return Outlook(planned, left, left / rate * 3600 if rate else None)
