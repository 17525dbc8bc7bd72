"""The search generation by generation: all answers are awaited before the next is bred."""

from efn_compose.evolve.ledger import Purpose
from efn_compose.evolve.search import GeneticSearch
from efn_compose.evolve.search_loop import SearchLoop


def search_generations(loop: SearchLoop) -> GeneticSearch:
    """Run the first generation and all later ones, and return what was learned.

    Args:
        loop: Space, options, journal, watcher.

    Raises:
        EvaluationError: Too many failures in a row.
    """
    search = loop.new_search()
    for generation in range(loop.options.generations + 1):
        genomes = search.ask()
        tasks = [loop.task(genome, generation) for genome in genomes]
        arms = [loop.arm(genome) for genome in genomes]
        found = loop.ledger.evaluate(Purpose("search", generation), tasks, arms)
        search.tell({genome: e.loss for genome, e in zip(genomes, found, strict=True)})
        loop.watcher.on_generation(generation, search)
    return search
