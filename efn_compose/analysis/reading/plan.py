"""How much of an unfinished run is still to come."""

import dataclasses
from dataclasses import dataclass

from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.timing import Timing


@dataclass(frozen=True)
class Outlook:
    """What is left of a run.

    Args:
        planned: Evaluations of the whole run, at most.
        left: Evaluations still to come, at most.
        seconds: For these, at the pace so far; None where the pace is not known.
    """

    planned: int
    left: int
    seconds: float | None


def outlook(run: RunView, clock: Timing) -> Outlook | None:
    """Return what is left of an unfinished run; None where it is finished or cannot be known."""
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
