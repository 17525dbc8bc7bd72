"""Racing: contestants that have clearly lost are not run on further seeds.

All are run on the same seeds, so that what a seed does to all alike cancels in paired
differences (Birattari et al. 2002, "A racing algorithm for configuring metaheuristics").
"""

import statistics
from collections.abc import Mapping, Sequence

from efn_compose.evolve.verdict.verdict import paired_difference

#: One-sided chance of dropping a contestant that is as good as the leader, per look.
_RISK = 0.05
#: Seeds that a spread must rest on.
_FEWEST_SEEDS = 3


def still_racing(losses: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the names of those not clearly worse than the leader, in the order given.

    Args:
        losses: By name, one per seed, the same seeds for all; smaller is better.

    Example:
        >>> still_racing({"a": [1.0, 2.0, 1.5], "b": [1.1, 1.9, 1.5], "c": [2.0, 3.1, 2.4]})
        ['a', 'b']
    """
    if not losses:
        return []
    leader = min(losses, key=lambda name: (statistics.fmean(losses[name]), name))
    seeds = len(losses[leader])
    if seeds < _FEWEST_SEEDS:
        return list(losses)
    from scipy.stats import t

    limit = float(t.ppf(1 - _RISK, seeds - 1))
    left = []
    for name, values in losses.items():
        behind = paired_difference(values, losses[leader])
        if name == leader or behind.mean <= limit * behind.standard_error:
            left.append(name)
    return left
