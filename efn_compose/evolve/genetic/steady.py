"""The steady-state search: a worker that finished gets a child at once."""

from typing import Any

from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.genetic.steady_search import SteadySearch
from efn_compose.evolve.journal.ledger import Purpose
from efn_compose.evolve.journal.planning import planned_evaluations
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask


def search_steadily(loop: SearchLoop) -> SteadySearch:
    """Search without generations until their number or the budget is used up.

    The number of evaluations is that of the generational search. Which genomes are
    tried depends on the order in which workers finish; the journal holds that order,
    so that a run is replayed exactly, but two runs are alike only with one worker.

    Args:
        loop: Space, options, journal, budget, watcher.

    Raises:
        EvaluationError: Too many failures in a row.
    """
    asker = _Asker(loop)
    loop.ledger.stream(asker, loop.seat, asker.ending)
    loop.watcher.on_generation(asker.search.wave, asker.search)
    return asker.search


class _Asker:
    """Between the ledger, which knows tasks, and the search, which knows genomes."""

    def __init__(self, loop: SearchLoop) -> None:
        self._loop = loop
        self.search = SteadySearch(loop.space, loop.options, loop.search_seed, loop.noise)
        self._asked = self._told = 0
        plan = planned_evaluations(loop.options, len(loop.donor_names))
        self._planned = plan["search"]

    def ask(self) -> tuple[Purpose, EvaluationTask, str] | None:
        """Return the next child as a task."""
        before = self.search.wave
        found = self.search.ask_one()
        if found is None:
            return None
        genome, wave = found
        self._asked += 1
        if wave > before:
            self._loop.watcher.on_generation(before, self.search)
        return Purpose("search", wave), self._loop.task(genome, wave), self._loop.arm(genome)

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Pass a loss on."""
        self._told += 1
        self.search.tell_one(number, evaluation.loss)
        self._loop.budget.believed(self.search.believed_best, self._loop.ledger.count)

    def ending(self) -> dict[str, Any] | None:
        """Return the event that ends the asking, None where it goes on."""
        budget = self._loop.budget
        if not budget.is_set:
            has_ended = self._asked >= self._planned
            return {"event": "end_of_search", "limit": "generations"} if has_ended else None
        count = self._loop.ledger.count + self._asked - self._told
        event = budget.ending_of_search(count, coming=1)
        if event is not None:
            self._loop.watcher.on_note(f"The search ends: {event['timing']['words']}.")
        return event
