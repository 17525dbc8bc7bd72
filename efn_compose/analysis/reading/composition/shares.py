"""What a search over shares learnt: how the loss depends on each relative, and where it went."""

from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.reading.composition.donor_map import shown_genome
from efn_compose.analysis.reading.evaluation_view import EvaluationView
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.search_view import SearchView
from efn_compose.compose import ShareGenomeSpace
from efn_compose.compose.share_space import HIGHEST, LOWEST
from efn_compose.evolve.genetic.estimates import Look
from efn_compose.evolve.genetic.shares.surrogate import Surrogate

#: Evaluations per gene that a model needs before its curves are worth a look.
_LEAST = 3
#: Places along a curve.
_PLACES = 41


@dataclass(frozen=True)
class ShareCurve:
    """The loss along the share of one relative, as a model of all evaluations believes it.

    Args:
        donor: Number of the relative.
        found: Its share in the composition that is shown; the mean over the parts of the network.
        shares: Where the curve is known, (place,).
        means: Believed loss there, (place,), nats.
        deviations: Standard deviation of that belief, (place,), nats.
    """

    donor: int
    found: float
    shares: np.ndarray
    means: np.ndarray
    deviations: np.ndarray


@dataclass(frozen=True)
class SharesView:
    """A search over shares.

    Args:
        evaluations: Number of evaluations that the model is of, which are not all of very many.
        curves: One per relative, in the order of donors; the shares of all others stay as found.
        generations: Numbers of the generations.
        levels: Mean share of each relative in each generation, (generation, relative).
    """

    evaluations: int
    curves: tuple[ShareCurve, ...]
    generations: tuple[int, ...]
    levels: np.ndarray


def shares_view(run: RunView, search: SearchView) -> SharesView | None:
    """Return what a search over shares learnt; None where genes are no shares, or too early."""
    space = run.genomes.share_space
    scored = [e for e in run.by_phase.get("search", ()) if _is_genome_of(space, e)]
    if space is None or len(scored) < _LEAST * len(space.loci):
        return None
    centre = space.shares([int(gene) for gene in shown_genome(run, search)])
    model = Surrogate.of(space, [_look(evaluation) for evaluation in scored])
    of_relative = np.tile(np.arange(len(space.relatives)), len(space.parts))
    generations = tuple(sorted({e.generation for e in scored}))
    return SharesView(
        evaluations=model.evaluations,
        curves=tuple(
            _curve(model, donor, centre, of_relative == number)
            for number, donor in enumerate(space.relatives)
        ),
        generations=generations,
        levels=np.array([_levels(space, scored, number) for number in generations]),
    )


def _is_genome_of(space: ShareGenomeSpace | None, evaluation: EvaluationView) -> bool:
    return (
        space is not None
        and evaluation.kind == "genome"
        and evaluation.loss is not None
        and len(evaluation.values) == len(space.loci)
    )


def _look(evaluation: EvaluationView) -> Look:
    genome = tuple(int(gene) for gene in evaluation.values)
    return Look(genome, evaluation.generation, float(evaluation.loss or 0.0))


def _curve(model: Surrogate, donor: int, centre: np.ndarray, loci: np.ndarray) -> ShareCurve:
    """Return the loss where all shares of one relative move by the same distance."""
    found = float(centre[loci].mean())
    shares = np.linspace(LOWEST, HIGHEST, _PLACES)
    means, deviations = model.believed(centre + (shares - found)[:, None] * loci)
    return ShareCurve(donor, found, shares, means, deviations)


def _levels(space: ShareGenomeSpace, scored: list[EvaluationView], generation: int) -> list[float]:
    """Return the mean share of each relative over the genomes of a generation."""
    genomes = [e.values for e in scored if e.generation == generation]
    shares = np.array([space.shares([int(gene) for gene in genome]) for genome in genomes])
    levels: list[float] = shares.reshape(-1, len(space.relatives)).mean(axis=0).tolist()
    return levels
