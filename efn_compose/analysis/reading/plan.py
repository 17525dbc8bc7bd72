"""The work that is left in an unfinished run."""

import dataclasses
from dataclasses import dataclass

from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.timing import Timing


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
    search = run.config.get("search")
    if run.result or not run.donors or not isinstance(search, dict):
        return None
    from efn_compose.evolve.journal.planning import planned_evaluations
    from efn_compose.evolve.options import SearchOptions

    budget = run.config.get("budget")
    budget = budget if isinstance(budget, dict) else {}
    if budget.get("hours") or budget.get("until_no_better") or budget.get("evaluations"):
        return None
    known = {field.name for field in dataclasses.fields(SearchOptions)}
    try:
        options = SearchOptions(**{key: value for key, value in search.items() if key in known})
        planned = sum(planned_evaluations(options, len(run.donors)).values())
    except (TypeError, ValueError):
        return None
    left = max(0, planned - len(run.evaluations))
    rate = clock.evaluations_per_hour
    return Outlook(planned, left, left / rate * 3600 if rate else None)
