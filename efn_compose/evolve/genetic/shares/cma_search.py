"""Evolution of a distribution over shares: CMA-ES, asked and told like the genetic search."""

import math
from collections.abc import Sequence

import numpy as np

from efn_compose.compose import Genome, ShareGenomeSpace
from efn_compose.evolve.genetic.deap_tools import CmaDistribution
from efn_compose.evolve.genetic.search import Breeds, GeneticSearch

#: First standard deviation of every share; of 0.1 to 0.3 the best on made-up losses, with noise or without.
_FIRST_STEP = 0.15
#: Draws per genome wanted before a distribution counts as exhausted: it may be narrower than a step.
_TRIES = 20


class CmaSearch(GeneticSearch):
    """Draws genomes from a normal distribution that follows those that did well.

    CMA-ES (Hansen and Ostermeier 2001) sees ranks within a generation only, and a generation has
    one seed, so its luck is common to all that are compared. The distribution begins at the
    average of all donors. Shares out of range are moved to its end, and rounded as genes are;
    the distribution is told what was evaluated, so that it is a function of genomes and losses.

    Donors, elites and their repeats serve the estimates alone. The centre of the last distribution
    is the first finalist: of all points it rests on the most evaluations.

    Args:
        space: A space of shares.
        settings: Population, elites.
        seed: Decides everything together with the losses told.
        noise: Variance of a score over seeds and its degrees of freedom, as measured.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> from efn_compose.evolve.kinds.cma import Cma
        >>> space = ShareGenomeSpace(arch_spec("lite0"), 3, "stage_share")
        >>> search = CmaSearch(space, Cma(population=16), seed=1)
        >>> genomes = search.ask()
        >>> len(genomes), genomes[0] == space.pure(0)
        (16, True)
    """

    def __init__(
        self,
        space: ShareGenomeSpace,
        settings: Breeds,
        seed: int,
        noise: tuple[float, int] = (0.0, 0),
    ) -> None:
        super().__init__(space, settings, seed, noise)
        self._shares = space
        self._normal = np.random.default_rng(seed)
        self._sampled: list[Genome] = []
        centre = np.full(len(space.loci), 1 / space.donor_count)
        self._distribution = CmaDistribution(centre, _FIRST_STEP, self.samples)

    @property
    def samples(self) -> int:
        """Genomes drawn in each generation: what elites and the best donor leave."""
        return samples_of(self.settings)

    def ask_brood(self, factor: float = 1.0) -> tuple[list[Genome], list[Genome]]:
        """Return the genomes to run again, and newcomers; no rung rejects any."""
        if self.generation == 0:
            self._sampled = self._draw(set(self.pure))
            return [], [*self.pure, *self._sampled]
        leaders = self.table.leaders(self.settings.elites)
        reruns = list(dict.fromkeys([*leaders, self.best_donor()]))
        self._sampled = self._draw(set(reruns))
        return reruns, self._sampled

    def newcomers_wanted(self, reruns: Sequence[Genome]) -> int:
        """Return the number of newcomers: all that were drawn, since the distribution learns from them."""
        return self.samples

    def tell(self, losses: dict[Genome, float | None]) -> None:
        """Take the losses of the genomes asked for; None is a failed evaluation."""
        super().tell(losses)
        told = ((genome, losses.get(genome)) for genome in self._sampled)
        self._distribution.update(
            [
                (self._shares.shares(genome), math.inf if loss is None else loss)
                for genome, loss in told
            ]
        )

    def finalists(self, count: int) -> list[Genome]:
        """Return the centre of the distribution and the best genomes that mix donors."""
        centre = self._shares.nearest(self._distribution.centre)
        found = [centre, *super().finalists(count)]
        return [g for g in dict.fromkeys(found) if g not in self.pure][:count]

    def _draw(self, taken: set[Genome]) -> list[Genome]:
        """Return different genomes that were never tried; fewer where hardly any is left."""
        drawn: list[Genome] = []
        for _ in range(_TRIES * self.samples):
            if len(drawn) == self.samples:
                break
            deviates = self._normal.standard_normal(len(self.space.loci))
            genome = self._shares.nearest(self._distribution.point(deviates))
            if genome not in taken and genome not in drawn and genome not in self.table:
                drawn.append(genome)
        return drawn


def samples_of(settings: Breeds) -> int:
    """Return the genomes drawn in each generation; the same in all of them, and at least four.

    Args:
        settings: Population, elites.
    """
    return max(4, settings.population - settings.elites - 1)
