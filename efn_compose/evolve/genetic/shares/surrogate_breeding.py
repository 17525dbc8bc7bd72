"""Newcomers of a search over shares: those of many that a model of all evaluations believes in."""

import random
from collections.abc import Container, Mapping

import numpy as np

from efn_compose.compose import Genome, GenomeSpace, ShareGenomeSpace
from efn_compose.evolve.genetic.breeding import draw
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.operators import shares_of
from efn_compose.evolve.genetic.shares.surrogate import CAUTIONS, Surrogate

#: Standard deviations around the minimum of a surrogate: of each share, and of all shares of a relative
#: together. On made-up losses 0.12 and 0.15 are worse, and 0.4 is no better.
_SHARE_STEP, _LEVEL_STEP = 0.25, 0.1
#: Genomes that a surrogate chooses newcomers from, at least in all, and for each newcomer; and the share
#: of them around its minimum. On made-up losses 60 in all are worse and 800 no better, and a half around
#: the minimum is worse where there are many genes.
_POOL, _POOL_PER_NEWCOMER, _NEAR = 200, 10, 0.1
#: More evaluations than at the last fit, as a factor, that are worth another one.
_REFIT = 1.1


class SurrogateBreeder:
    """Takes those of many drawn genomes that may be best, by a model of all evaluations so far.

    Most are drawn as the first generation is, some around the model's minimum. Each newcomer is the
    best of them all in losses drawn from the model (Thompson sampling: Russo et al. 2018,
    arXiv:1707.02038): where the model is sure, newcomers are good, and elsewhere they teach it.

    Args:
        table: The evaluations.
    """

    needs_images = False

    def __init__(self, table: FitnessTable) -> None:
        self._table = table
        self._surrogate: Surrogate | None = None
        self._fitted = self._known = 0

    def note(self, genome: Genome, solved: str) -> None:
        """Take nothing."""

    def children(
        self,
        losses: Mapping[Genome, float],
        known: Container[Genome],
        count: int,
        space: GenomeSpace,
        generator: random.Random,
    ) -> list[Genome]:
        """Return newcomers; see `Breeder`.

        Raises:
            ConfigError: Genes are not shares.
        """
        shares = shares_of(space, "A search by a surrogate")
        surrogate = self._model(shares)
        size = max(_POOL, _POOL_PER_NEWCOMER * count)
        near = self._around(surrogate.minimum(CAUTIONS[0]), round(_NEAR * size), shares, generator)
        pool = draw(space, known, size - len(near), generator)
        pool = list(dict.fromkeys([*pool, *(genome for genome in near if genome not in known)]))
        if not pool:
            return []
        points = np.array([shares.shares(genome) for genome in pool])
        luck = np.random.default_rng(generator.getrandbits(64))
        children: dict[Genome, None] = {}
        for sample in surrogate.samples(points, min(count, len(pool)), luck):
            order = np.argsort(sample, kind="stable")
            children[next(pool[place] for place in order if pool[place] not in children)] = None
        return list(children)

    def _model(self, space: ShareGenomeSpace) -> Surrogate:
        """Return the model of all evaluations; its scales are fitted anew after a tenth more of them."""
        count, model = self._table.look_count, self._surrogate
        if model is not None and count == self._known:
            return model
        scales = None if model is None or count > _REFIT * self._fitted else model.scales
        if scales is None:
            self._fitted = count
        model = Surrogate.of(space, self._table.looks(), scales)
        self._surrogate, self._known = model, count
        return model

    @staticmethod
    def _around(
        centre: np.ndarray, count: int, space: ShareGenomeSpace, generator: random.Random
    ) -> list[Genome]:
        """Return genomes around a centre (locus,)."""
        drawn = []
        for _ in range(count):
            levels = [generator.gauss(0, _LEVEL_STEP) for _ in space.relatives]
            own = [generator.gauss(0, _SHARE_STEP) for _ in centre]
            drawn.append(space.nearest(centre + np.tile(levels, len(space.parts)) + own))
        return drawn
