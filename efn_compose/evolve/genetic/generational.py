"""The search generation by generation: all answers are awaited before the next is bred."""

from collections.abc import Container, Sequence
from typing import Any

from efn_compose.evolve.genetic.control import Control
from efn_compose.evolve.genetic.rungs import PHASE as RUNG
from efn_compose.evolve.genetic.rungs import Sieve
from efn_compose.evolve.genetic.search import Breeds, GeneticSearch
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.ledger import Purpose


def search_generations(
    loop: SearchLoop,
    settings: Breeds,
    rungs: Sequence[str] = (),
    search: GeneticSearch | None = None,
    control: Control | None = None,
) -> GeneticSearch:
    """Run generations until their number or the budget is used up; return the scores.

    Args:
        loop: Space, journal, budget, watcher.
        settings: Population, elites, where newcomers come from.
        rungs: Cheap looks at newcomers, in order.
        search: Asked and told; the genetic search of these settings by default.
        control: Evaluates as many random genomes in every generation; nothing by default.

    Raises:
        EvaluationError: Too many failures in a row.
    """
    search = search or GeneticSearch(loop.space, settings, loop.search_seed, loop.noise)
    sieve = Sieve(loop, rungs)
    generation = 0
    while True:
        if generation == 0:
            genomes = search.ask()
            fresh = len(set(genomes) - set(search.pure))
            sieve.calibrate(genomes)
        else:
            reruns, brood = search.ask_brood(sieve.brood_factor)
            newcomers = sieve.keep(brood, search.newcomers_wanted(reruns), generation)
            search.reject(set(brood) - set(newcomers))
            genomes, fresh = [*reruns, *newcomers], len(newcomers)
        wanted = search.breeder.needs_images
        tasks = [loop.task(genome, generation, per_image=wanted) for genome in genomes]
        arms = [loop.arm(genome) for genome in genomes]
        found = loop.ledger.evaluate(Purpose("search", generation), tasks, loop.seat, arms)
        losses = {genome: e.loss for genome, e in zip(genomes, found, strict=True)}
        search.tell(losses)
        for genome, evaluation in zip(genomes, found, strict=True):
            if evaluation.solved:
                search.breeder.note(genome, evaluation.solved)
        if generation == 0:
            sieve.learn(losses)
        if control is not None:
            donors = {genome: losses[genome] for genome in search.pure if genome in losses}
            control.evaluate(fresh, generation, search.table.generation_effects[-1], donors)
        loop.watcher.on_generation(generation, search.standing())
        loop.budget.believed(search.best(), loop.ledger.count)
        if not goes_on(loop, generation):
            return search
        generation += 1


def goes_on(loop: SearchLoop, generation: int, phases: Container[str] = ("search", RUNG)) -> bool:
    """Return whether another generation comes after this one."""
    if loop.budget.is_set or loop.ledger.is_replaying:
        return loop.ledger.goes_on(phases, lambda: _ending(loop, generation))
    return generation < loop.generations


def _ending(loop: SearchLoop, generation: int) -> dict[str, Any] | None:
    coming = generation + 1
    event = loop.budget.ending_of_search(loop.ledger.count, loop.size(coming), loop.ending(coming))
    if event is not None:
        loop.watcher.on_note(f"The search ends: {event['timing']['words']}.")
        return {**event, "generation": generation}
    return None
