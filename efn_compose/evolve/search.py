"""The generation loop's decisions: which genomes to run next. Pure given seed and scores."""

import random

from efn_compose.compose import Genome, GenomeSpace
from efn_compose.evolve.estimates import FitnessTable
from efn_compose.evolve.operators import breed, few_switches
from efn_compose.evolve.options import SearchOptions


class GeneticSearch:
    """Ask for a generation's genomes, tell their losses.

    Pure donors open the first generation and are never forgotten. Every later
    generation re-runs the elites and the best donor under its own seed, which
    links its scores to the earlier ones; no other genome is ever paid for twice.

    Args:
        space: The genome space.
        options: Population, rates, elites.
        seed: Decides everything together with the losses told.
        noise: Variance of a score over seeds and its degrees of freedom, as measured.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> space = GenomeSpace(arch_spec("lite0"), 2, "stage")
        >>> search = GeneticSearch(space, SearchOptions(population=4), seed=1)
        >>> genomes = search.ask()
        >>> search.tell({genome: float(sum(genome)) for genome in genomes})
        >>> search.best() == space.pure(0)
        True
    """

    def __init__(
        self,
        space: GenomeSpace,
        options: SearchOptions,
        seed: int,
        noise: tuple[float, int] = (0.0, 0),
    ) -> None:
        self.space, self.options = space, options
        self.table = FitnessTable(*noise)
        self.generation = 0
        self._generator = random.Random(seed)
        self.pure = [space.pure(donor) for donor in range(space.donor_count)]

    def ask(self) -> list[Genome]:
        """Return the genomes of the next generation, each once."""
        if self.generation == 0:
            return self._first()
        ranked = self.table.ranked()
        if not ranked:
            return self._first()
        reruns = list(dict.fromkeys([*ranked[: self.options.elites], self.best_donor()]))
        found = self.table.estimates()
        parents = {genome: found[genome].shrunk for genome in ranked[: self.options.population]}
        children = breed(
            parents,
            self.table.genomes,
            max(1, self.options.population - len(reruns)),
            self.space,
            tournament=self.options.tournament,
            crossover_rate=self.options.crossover_rate,
            mutations=self.options.mutations,
            generator=self._generator,
        )
        return [*reruns, *children]

    def tell(self, losses: dict[Genome, float | None]) -> None:
        """Take the losses of the genomes asked for; None is a failed evaluation."""
        self.table.add_generation(losses)
        self.generation += 1

    def best(self) -> Genome | None:
        """Return the genome believed best; None if all failed."""
        ranked = self.table.ranked()
        return ranked[0] if ranked else None

    def best_donor(self) -> Genome:
        """Return the pure donor believed best."""
        found = self.table.estimates()
        alive = [genome for genome in self.pure if genome in found] or self.pure[:1]
        return min(alive, key=lambda genome: (found[genome].mean if genome in found else 0, genome))

    def finalists(self, count: int) -> list[Genome]:
        """Return the best genomes that mix donors, best first."""
        return [genome for genome in self.table.ranked() if genome not in self.pure][:count]

    def _first(self) -> list[Genome]:
        """Return all pure donors, then genomes with few switches of donor along depth."""
        genomes = list(self.pure)
        wanted = max(self.options.population, len(self.pure))
        for _ in range(100 * wanted):  # a small space may hold fewer
            if len(genomes) == wanted:
                break
            genome = few_switches(self.space, self._generator)
            if genome not in genomes:
                genomes.append(genome)
        return genomes
