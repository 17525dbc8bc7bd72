"""The greedy soup: donors join from best to worst while the average does not get worse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from efn_compose.donors import Donor, require_harmonised
from efn_compose.donors.lineage import require_one_lineage
from efn_compose.soups.weighted import uniform_soup


@dataclass(frozen=True)
class GreedySoup:
    """A greedy soup and how it came about.

    Args:
        donor: The average of the members.
        members: Numbers of the donors in it, in the order they were added.
        score: Its score.
        scores: Score of each donor alone.
        evaluations: Number of calls of the scoring function.
    """

    donor: Donor
    members: tuple[int, ...]
    score: float
    scores: tuple[float, ...]
    evaluations: int


def greedy_soup(
    donors: Sequence[Donor],
    evaluate: Callable[[Donor], float],
    *,
    allow_unrelated: bool = False,
) -> GreedySoup:
    """Add donors from best to worst while the average does not get worse.

    The greedy soup of Wortsman et al. 2022 (arXiv:2203.05482). On the data that
    `evaluate` uses it is never worse than the best donor, by construction.

    Args:
        donors: Harmonised donors of one lineage.
        evaluate: Score of a donor, higher is better; it should re-estimate
            BatchNorm statistics first. NaN counts as worst.
        allow_unrelated: Average across lineages too.

    Raises:
        IncompatibleDonorsError: Not harmonised, or of several lineages.

    Example:
        >>> soup = greedy_soup(fine_tunings, validation_accuracy)  # doctest: +SKIP
        >>> soup.members  # doctest: +SKIP
        (2, 0)
    """
    require_harmonised(donors)
    if not allow_unrelated:
        require_one_lineage(donors, "A greedy soup")
    scores = [_score(evaluate, donor) for donor in donors]
    order = sorted(range(len(donors)), key=lambda number: -scores[number])
    members, best = [order[0]], scores[order[0]]
    soup, evaluations = donors[order[0]], len(donors)
    for number in order[1:]:
        tried = [*members, number]
        candidate = uniform_soup(
            [donors[member] for member in tried], allow_unrelated=allow_unrelated
        )
        score = _score(evaluate, candidate)
        evaluations += 1
        if score >= best:
            members, best, soup = tried, score, candidate
    return GreedySoup(
        soup.replace(name="greedy_soup"), tuple(members), best, tuple(scores), evaluations
    )


def _score(evaluate: Callable[[Donor], float], donor: Donor) -> float:
    score = float(evaluate(donor))
    return score if score == score else float("-inf")
