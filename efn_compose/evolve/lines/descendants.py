"""Averages over the last generations of a search that trains on, for the finals.

Averages lie nearer to the middle of the basin than any member (Izmailov et al. 2018,
arXiv:1803.05407; Wortsman et al. 2022, arXiv:2203.05482), and the longer they reach back
the better, while the members still learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from efn_compose.compose import Genome, Recipe, genome_space
from efn_compose.compose.averaging import Tensors
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.ledger import Purpose
from efn_compose.evolve.lines.population import MEMORY
from efn_compose.evolve.verdict.verdict import PLAIN_AVERAGE, PLAIN_NETWORK
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask

#: Journal phase of scores of averages, without training.
SCORING = "soup"
#: Generations that averages may reach back.
DEPTHS = tuple(2**n for n in range(MEMORY.bit_length()))


def depths_within(states: int) -> tuple[int, ...]:
    """Return the depths of the averages along a line with so many states.

    Example:
        >>> depths_within(1), depths_within(9), depths_within(40)
        ((), (2, 4, 8), (2, 4, 8, 16))
    """
    return tuple(depth for depth in DEPTHS if 1 < depth <= states)


class Lineage(Protocol):
    """The networks of a Lamarckian search, by generation and number."""

    loop: SearchLoop

    @property
    def losses(self) -> Sequence[Mapping[int, float]]:
        """By generation, the validation losses of its living members by number."""

    def members(self, generation: int) -> Sequence[Tensors]:
        """Return the living members; from the second generation on the plain network is last."""

    def mean_of(self, generation: int) -> Tensors:
        """Return the mean of a generation's members, the plain network left out."""

    def plain(self, generation: int) -> Tensors:
        """Return the plain network as it was after a generation."""


@dataclass(frozen=True)
class Descendants:
    """The networks and averages that a search hands to the finals.

    Args:
        networks: Tensors by name: a contestant first where there is one (`verdict.RIVALS`), then
            the parts of averages.
        candidates: Averages over the networks, best first by validation loss: name and the
            names of the networks averaged, one named twice counting twice.
        rivals: Averages that the candidates must beat.
        starts: By network, the genome its line began as, where lines never meet.
        founder: The donor whose provenance networks without a start have.
    """

    networks: dict[str, Tensors]
    candidates: list[tuple[str, tuple[str, ...]]]
    rivals: dict[str, tuple[str, ...]]
    starts: dict[str, Genome] = field(default_factory=dict)
    founder: int = 0


def descendants(search: Lineage) -> Descendants:
    """Score averages of the last networks and return them, best first.

    Args:
        search: A search that has run all its generations.
    """
    last = len(search.losses) - 1
    numbers, members = sorted(search.losses[last]), list(search.members(last))
    networks: dict[str, Tensors] = {}
    if last:
        networks[PLAIN_NETWORK] = members.pop()
        numbers.pop()
    names = [f"generation{last}_member{number}" for number in numbers]
    networks |= dict(zip(names, members, strict=True))
    # Earlier states, latest first.
    earlier = range(last - 1, max(-1, last - MEMORY), -1)
    states = [PLAIN_NETWORK] if last else []
    for generation in earlier:
        networks[f"generation{generation}_mean"] = search.mean_of(generation)
        if generation:
            states.append(f"trained_generation{generation}")
            networks[states[-1]] = search.plain(generation)
    score = Scoring(search, networks)
    best_first = sorted(names, key=lambda name: search.losses[last][numbers[names.index(name)]])
    averages: dict[str, tuple[str, ...]] = {"best_member": (best_first[0],)}
    for depth in (1, *depths_within(last + 1)):
        means = [f"generation{generation}_mean" for generation in earlier[: depth - 1]]
        # Members count once each, an earlier generation's mean as often as it had members.
        average = (*names, *(means * len(names)))
        averages[f"average_of_{depth}"] = average
        if 1 < depth <= len(states):
            # The plain network counts as one more member of every generation.
            averages[f"average_of_{depth}_and_trained"] = (*average, *states[:depth])
    found = score.score(averages)
    chosen, loss = [best_first[0]], found["best_member"]
    for name in best_first[1:]:
        trial = score.score({"greedy": (*chosen, name)})["greedy"]
        if trial <= loss:
            chosen, loss = [*chosen, name], trial
    averages["greedy_average"], found["greedy_average"] = tuple(chosen), loss
    ranked = sorted((n for n in averages if found[n] < float("inf")), key=found.__getitem__)
    candidates = [(name, averages[name]) for name in ranked]
    return Descendants(networks, candidates, _plain_average(states, score))


def scores_of_averages(last: int, members: int) -> tuple[int, int]:
    """Return the most scores that `descendants` asks for, and the most candidates that it returns.

    Args:
        last: Number of the last generation.
        members: Its members, the plain network left out.

    Example:
        >>> scores_of_averages(0, 4), scores_of_averages(3, 4)
        ((5, 3), (9, 6))
    """
    plain = len(
        depths_within(last)
    )  # of the plain network's states, one per generation but the first
    candidates = (
        3 + len(depths_within(last + 1)) + plain
    )  # the best member, all members, the greedy one
    return candidates - 1 + members - 1 + plain, candidates


def networks_of(last: int, members: int) -> int:
    """Return the most networks that `descendants` returns.

    Args:
        last: Number of the last generation.
        members: Its members, the plain network left out.

    Example:
        >>> networks_of(0, 4), networks_of(3, 4)
        (4, 10)
    """
    earlier = min(last, MEMORY - 1)
    # Of each earlier generation the mean, and of each but the first the plain network.
    return members + earlier + min(last, MEMORY)


class Searched(Protocol):
    """What scoring needs of a search."""

    loop: SearchLoop


class Scoring:
    """Scores averages of networks on validation, BatchNorm re-estimated, without training."""

    def __init__(self, search: Searched, networks: Mapping[str, Tensors]) -> None:
        self._loop, self._networks = search.loop, networks

    def score(self, averages: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """Return validation losses by name; infinite for a failure."""
        recipes = {n: average_of(members, list(self._networks)) for n, members in averages.items()}
        tasks = [EvaluationTask(recipe, seed=0, epochs=0.0) for recipe in recipes.values()]
        found = self._loop.ledger.evaluate(Purpose(SCORING), tasks, self._seat, list(recipes))
        return {
            name: float("inf") if e.loss is None else e.loss
            for name, e in zip(recipes, found, strict=True)
        }

    def _seat(self) -> Seat:
        space = genome_space(self._loop.space.spec, len(self._networks), "stage")
        return Seat(space, list(self._networks.values()))


def _plain_average(states: Sequence[str], score: Scoring) -> dict[str, tuple[str, ...]]:
    """Return the average of the plain network's last states that validates best."""
    trials = {
        f"{PLAIN_AVERAGE}_{depth}": tuple(states[:depth]) for depth in depths_within(len(states))
    }
    if not trials:
        return {}
    found = score.score(trials)
    return {PLAIN_AVERAGE: trials[min(found, key=lambda name: (found[name], name))]}


def average_of(members: Sequence[str], names: Sequence[str]) -> Recipe:
    """Return the average of named networks as a recipe over all of them."""
    return Recipe.average_of([names.index(member) for member in members], len(names))
