"""`mutation = "share_step"`: a relative everywhere, a part as a whole, or a few shares."""

import random

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.mutation.base import Mutation
from efn_compose.evolve.genetic.mutation.heavy_tailed import power_law
from efn_compose.evolve.genetic.operators import GeneSpace, shares_of

#: Share of mutations that move one relative's shares in all parts of the network together.
_RELATIVE_RATE = 0.25
#: Share of mutations that give one part of the network to one donor as it is.
_WHOLE_RATE = 0.25
#: Standard deviation of a step.
_STEP = 0.25


class ShareStep(Mutation):
    """Moves shares by normal steps, or gives a part to a donor whole.

    How many single shares move is heavy-tailed, as in `heavy_tailed`.
    """

    needs_shares = True

    def mutate(self, genome: Genome, space: GeneSpace, generator: random.Random) -> Genome:
        """Return a changed genome; see `Mutation`."""
        shares = shares_of(space, "mutation share_step")
        child = genome
        while child == genome and genome:
            kind = generator.random()
            moved = shares.shares(genome)
            if kind < _RELATIVE_RATE:
                count = len(shares.relatives)
                moved[generator.randrange(count) :: count] += generator.gauss(0, _STEP)
            elif kind < _RELATIVE_RATE + _WHOLE_RATE:
                start, stop = generator.choice(shares.clusters)
                donor = generator.randrange(shares.donor_count)
                moved[start:stop] = shares.shares(shares.pure(donor)[start:stop])
            else:
                strength = power_law(max(1, len(genome) // 2), generator)
                places = generator.sample(range(len(genome)), strength)
                moved[places] += np.array([generator.gauss(0, _STEP) for _ in places])
            child = shares.nearest(moved)
        return child
