"""Where a genome came from: the earlier genomes that explain it with the fewest new genes.

The journal holds genomes, not parents. A child of crossover and mutation has a part of its loci from
one parent, the rest from another, and a few genes of neither. Which parts are possible, the search's
crossover says. The search for the pair runs over everything evaluated before the child's generation.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.compose import ShareGenomeSpace
from efn_compose.evolve.genetic.crossover.base import Crossover
from efn_compose.evolve.genetic.crossover.two_point import TwoPoint

#: First parents tried; the true one differs in few genes from the child or gives few to it.
_FIRST_PARENTS = 48
#: Second parents tried with each, those that have most of its wrong genes right.
_SECOND_PARENTS = 512
#: A second parent must save this many new genes to be believed.
_WORTH = 2
#: Steps back that are followed.
_STEPS = 40


@dataclass(frozen=True)
class Parents:
    """How a genome follows from earlier ones.

    Args:
        first: Number of the first parent.
        second: Number of the second; None where mutation of the first suffices.
        given: Loci that the second parent gave.
        new: Loci whose gene is of neither parent.
    """

    first: int
    second: int | None
    given: tuple[int, ...]
    new: tuple[int, ...]


@dataclass(frozen=True)
class Ancestor:
    """One genome on the main line of descent.

    Args:
        genome: Its genes.
        generation: In which it was first evaluated.
        index: Number of that evaluation.
        loss: Loss of that evaluation; None after a failure.
        from_second: Loci whose gene the second parent gave.
        new: Loci whose gene no parent gave.
        second: The second parent; None for founders and mutants.
        second_index: Evaluation of the second parent.
    """

    genome: tuple[int, ...]
    generation: int
    index: int
    loss: float | None
    from_second: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    second: tuple[int, ...] | None = None
    second_index: int | None = None

    @property
    def is_pure(self) -> bool:
        """Whether all genes name one donor."""
        return len(set(self.genome)) == 1


def ancestry(run: RunView, genome: Sequence[float]) -> list[Ancestor]:
    """Return a genome and its main line of descent, the genome first, a founder last.

    The main line follows the parent that gave more genes.

    Args:
        run: The run.
        genome: A genome that the search evaluated; anything else gives an empty list, and so does
            a search that crosses nobody, as none over shares does.
    """
    crossover = TwoPoint() if run.kind is None else run.kind.crossing()
    if crossover is None or run.genomes.granularity in ShareGenomeSpace.granularities:
        return []
    borders = run.genomes.stage_borders
    pool, generations, indices, losses = _first_evaluations(run)
    numbers = {tuple(row): number for number, row in enumerate(pool.tolist())}
    number = numbers.get(tuple(int(gene) for gene in genome))
    line: list[Ancestor] = []
    while number is not None and len(line) < _STEPS:
        known = np.flatnonzero(generations < generations[number])
        child = pool[number]
        own = Ancestor(
            genome=tuple(child.tolist()),
            generation=int(generations[number]),
            index=int(indices[number]),
            loss=losses[number],
        )
        if not known.size:
            line.append(own)
            break
        found = parents(child, pool[known], crossover, borders)
        part = set(found.given) - set(found.new)
        first = int(known[found.first])
        second = None if found.second is None else int(known[found.second])
        # Only loci in which the parents differ say who gave them.
        differing = (
            set() if second is None else set(np.flatnonzero(pool[first] != pool[second]).tolist())
        )
        given = part & differing
        others = differing - set(found.new) - given
        if second is not None and len(given) > len(others):
            first, second, given = second, first, others
        line.append(
            dataclasses.replace(
                own,
                from_second=tuple(sorted(given)),
                new=found.new,
                second=None if second is None else tuple(pool[second].tolist()),
                second_index=None if second is None else int(indices[second]),
            )
        )
        number = first
    return line


def parents(
    child: np.ndarray, pool: np.ndarray, crossover: Crossover, borders: Sequence[int] = ()
) -> Parents:
    """Return the parents that explain a child with the fewest new genes.

    Args:
        child: Genes, (locus,).
        pool: Genomes known before, (genome, locus), at least one.
        crossover: Says which loci a second parent may give together.
        borders: First locus of each stage but the first.

    Example:
        >>> pool = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
        >>> found = parents(np.array([0, 0, 1, 1, 1, 2]), pool, TwoPoint())
        >>> found.new, sorted((found.first, found.second))
        ((5,), [0, 1])
    """
    wrong = (pool != child).astype(np.int16)
    distance = wrong.sum(axis=1)
    order = np.argsort(distance, kind="stable")
    nearest = int(order[0])
    best = Parents(nearest, None, (), _places(wrong[nearest]))
    fewest = len(best.new)
    for first in order[:_FIRST_PARENTS].tolist():
        if not fewest:
            break
        # A second parent can save at most the new genes that it has right.
        bound = (wrong[first] * (1 - wrong)).sum(axis=1)
        promising = np.argsort(-bound, kind="stable")[:_SECOND_PARENTS]
        gain = wrong[first] - wrong[promising]
        parts = crossover.second_parents_part(gain, borders)
        gains = (gain * parts).sum(axis=1)
        place = int(np.argmax(gains))
        second = int(promising[place])
        left = int(distance[first] - gains[place])
        needed = _WORTH if best.second is None else 1
        if left <= fewest - needed:
            rest = np.where(parts[place], wrong[second], wrong[first])
            best = Parents(first, second, _places(parts[place]), _places(rest))
            fewest = left
    return best


def _places(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(wrong).tolist())


def _first_evaluations(
    run: RunView,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float | None]]:
    """Return all genomes of the search with generation, index and loss of their first evaluation."""
    found: dict[tuple[float, ...], tuple[int, int, float | None]] = {}
    length = 0
    for evaluation in run.by_phase.get("search", ()):
        if evaluation.kind != "genome" or (length and len(evaluation.values) != length):
            continue
        length = len(evaluation.values)
        entry = (evaluation.generation, evaluation.index, evaluation.loss)
        found.setdefault(evaluation.values, entry)
    pool = np.array(list(found), np.int64).reshape(len(found), length)
    generations = np.array([entry[0] for entry in found.values()], np.int64)
    indices = np.array([entry[1] for entry in found.values()], np.int64)
    return pool, generations, indices, [entry[2] for entry in found.values()]
