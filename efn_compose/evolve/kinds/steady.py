"""`search.kind = "steady"`: the genetic search in which a worker that finished gets a child at once."""

from dataclasses import dataclass
from typing import Any, ClassVar

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.genetic.steady_search import SteadySearch
from efn_compose.evolve.journal.ledger import Purpose
from efn_compose.evolve.kinds.composing import BreedingKind, found_by
from efn_compose.evolve.kinds.kind import Found, Workplace
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask


@dataclass(frozen=True)
class Steady(BreedingKind):
    """`[steady]`: as `[genetic]`, but no worker waits for a generation to end.

    It makes as many evaluations as the genetic search. Which genomes are tried depends on the
    order in which workers finish; the journal holds that order, so that a run is replayed exactly,
    but two runs are alike only with one worker.

    Args:
        population: Genomes that parents are chosen from; this number of questions shares a seed.
        generations: Evaluations in units of the population, after the first.
        elites: Best genomes run again under every seed, which links its luck to others'.
        crossover: Name of a file in `evolve/genetic/crossover`.
        mutation: Of one in `evolve/genetic/mutation`.
        selection: Of one in `evolve/genetic/selection`.
    """

    name: ClassVar[str] = "steady"

    def search(self, loop: SearchLoop, workplace: Workplace, finalists: int) -> Found:
        """Search until the evaluations of all generations, or the budget, are used up."""
        asker = _Asker(loop, self)
        loop.ledger.stream(asker, loop.seat, asker.ending)
        loop.watcher.on_generation(asker.search.wave, asker.search.standing())
        return found_by(asker.search, finalists)

    def rounds(self, donor_count: int, evaluations: int, workers: int) -> float:
        """Return the wall time of a search, in units of one evaluation; nobody waits."""
        return evaluations / workers

    def evaluations_within(self, donor_count: int, rounds: float, workers: int) -> int:
        """Return how many evaluations fit into `rounds` rounds; at least the population."""
        return max(self.population, int(rounds * workers))


class _Asker:
    """Between the ledger, which knows tasks, and the search, which knows genomes."""

    def __init__(self, loop: SearchLoop, settings: Steady) -> None:
        self._loop = loop
        self.search = SteadySearch(loop.space, settings, loop.search_seed, loop.noise)
        self._asked = self._told = 0
        self._planned = sum(loop.size(number) for number in range(loop.generations + 1))

    def ask(self) -> tuple[Purpose, EvaluationTask, str] | None:
        """Return the next child as a task."""
        before = self.search.wave
        found = self.search.ask_one()
        if found is None:
            return None
        genome, wave = found
        self._asked += 1
        if wave > before:
            self._loop.watcher.on_generation(before, self.search.standing())
        return Purpose("search", wave), self._task(genome, wave), self._loop.arm(genome)

    def _task(self, genome: Genome, wave: int) -> EvaluationTask:
        wanted = self.search.breeder.needs_images
        return self._loop.task(genome, wave, per_image=wanted)

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Pass a loss on."""
        self._told += 1
        self.search.tell_one(number, evaluation.loss, evaluation.solved)
        self._loop.budget.believed(self.search.believed_best, self._loop.ledger.count)

    def ending(self) -> dict[str, Any] | None:
        """Return the event that ends the asking, None where it goes on."""
        budget = self._loop.budget
        if not budget.is_set:
            has_ended = self._asked >= self._planned
            return {"event": "end_of_search", "limit": "generations"} if has_ended else None
        # As the genetic search's first generation; what came before it, the noise, is no search.
        if self._asked < self._loop.size(0):
            return None
        count = self._loop.ledger.count + self._asked - self._told
        event = budget.ending_of_search(count, coming=1, ending=self._loop.ending(0))
        if event is not None:
            self._loop.watcher.on_note(f"The search ends: {event['timing']['words']}.")
        return event
