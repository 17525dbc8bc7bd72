"""The arms of the scoreboard: every way of spending one budget of epochs on starting weights."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lab.merges import mega, task_arithmetic, ties
from scoreboard_bench import Bench, Tensors
from scoreboard_names import ABSORBED, BODY_ABSORBED, SMALLER_RATE
from searching import InProcess, search

from efn_compose.donors import Donor
from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.journal.planning import PICTURES
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.kinds.kind import SearchKind
from efn_compose.evolve.kinds.lamarck import Lamarck
from efn_compose.evolve.kinds.random import Random
from efn_compose.evolve.options import FinalsOptions
from efn_compose.soups import greedy_soup, weighted_soup


@dataclass(frozen=True)
class Start:
    """Starting weights that an arm made, and what they cost.

    Args:
        networks: One set of tensors; several where the arm is an ensemble.
        epochs: Passes over the training images that were spent on them.
        verdict_epochs: Further ones that a run's finals took, which decide what is written.
        note: Anything worth keeping, such as the members of a soup.
    """

    networks: Sequence[Tensors]
    epochs: float
    note: Any = None
    verdict_epochs: float = 0.0


def _mean(networks: Sequence[Tensors]) -> dict[str, np.ndarray]:
    return {
        name: np.mean([n[name] for n in networks], axis=0, dtype=np.float64).astype(np.float32)
        for name in networks[0]
    }


def best_donor(bench: Bench) -> Start:
    """The donor as it is."""
    return Start([bench.best_donor.tensors], 0)


def trained(bench: Bench) -> Start:
    """The best donor simply trained for the whole budget."""
    return Start([bench.plain[-1]], bench.budget)


def trained_average(bench: Bench) -> Start:
    """The same, averaged over its last epochs (stochastic weight averaging)."""
    return _averaged(bench, bench.plain, bench.budget)


def stopped_average(bench: Bench) -> Start:
    """The same, stopped when a sibling stops: what averaging is worth without learning by heart."""
    epochs = bench.budget // bench.config["siblings"]
    return _averaged(bench, bench.train_plainly(np.ones(epochs), epochs), epochs)


def _averaged(bench: Bench, line: Sequence[Tensors], epochs: float) -> Start:
    depths = [n for n in (2, 4, 8, 16) if n <= len(line)]
    averages = {n: _mean(line[-n:]) for n in depths}
    losses = {n: bench.validation_loss(a) for n, a in averages.items()}
    chosen = min(losses, key=losses.get)
    return Start([averages[chosen]], epochs, {"epochs averaged": chosen})


def trained_falling(bench: Bench) -> Start:
    """The same, the rate falling to zero over the whole budget (cosine)."""
    rates = (1 + np.cos(np.pi * (np.arange(bench.budget) + 0.5) / bench.budget)) / 2
    return Start([bench.train_plainly(rates, 1)[-1]], bench.budget)


def best_sibling(bench: Bench) -> Start:
    """The sibling that validates best."""
    losses = [bench.validation_loss(s.tensors) for s in bench.siblings]
    return Start([bench.siblings[int(np.argmin(losses))].tensors], bench.budget)


def uniform(bench: Bench) -> Start:
    """The plain average of the siblings, of strangers too: what that is worth is the question."""
    soup = weighted_soup(bench.siblings, _equal(bench.siblings), allow_unrelated=True)
    return Start([soup.tensors], bench.budget)


def greedy(bench: Bench) -> Start:
    """The greedy soup of the siblings."""
    found = greedy_soup(bench.siblings, lambda d: -bench.validation_loss(d.tensors))
    return Start([found.donor.tensors], bench.budget, {"members": found.members})


def learned(bench: Bench) -> Start:
    """The soup of siblings whose weights are learned, segment by segment."""
    epochs = bench.config["soup_epochs"]
    soup, weights = bench.learned(bench.siblings, epochs)
    return Start([soup], bench.budget + epochs, {"weights": weights})


def arithmetic(bench: Bench) -> Start:
    """Task arithmetic: the sum of the siblings' differences, scaled on validation."""
    return _merged(bench, task_arithmetic, (0.1, 0.2, 0.3, 0.5))


def trimmed(bench: Bench) -> Start:
    """TIES: differences trimmed, their signs elected, scaled on validation."""
    return _merged(bench, lambda b, d, scale: ties(b, d, scale=scale), (0.5, 1.0, 1.5))


def _merged(bench: Bench, merge: Callable[..., Donor], scales: Sequence[float]) -> Start:
    # Differences need a base with the classifier that all siblings began with.
    start = bench.best_donor
    base = start.replace(name="base", tensors=bench.train(start.tensors, "base", 0, epochs=0.0))
    merged = [merge(base, bench.siblings, scale=scale).tensors for scale in scales]
    losses = [bench.validation_loss(m) for m in merged]
    best = int(np.argmin(losses))
    return Start([merged[best]], bench.budget, {"scale": scales[best]})


def ensemble(bench: Bench) -> Start:
    """All siblings side by side, logits averaged: an upper reference, not one network."""
    return Start([s.tensors for s in bench.siblings], bench.budget)


def _equal(donors: Sequence[Donor]) -> list[float]:
    return [1 / len(donors)] * len(donors)


def genetic(bench: Bench) -> Start:
    """The product's search over compositions of short siblings (`search.kind = "genetic"`)."""
    return _search(bench, "genetic", Genetic)


def genetic_refitted(bench: Bench) -> Start:
    """The same with donors in one channel basis and mixed blocks refitted before each epoch."""
    return _search(bench, "genetic", Genetic, align="auto", refit=True)


def random_search(bench: Bench) -> Start:
    """The same search with random genomes."""
    return _search(bench, "genetic", Random)


def random_refitted(bench: Bench) -> Start:
    """Random genomes over donors in one channel basis, mixed blocks refitted."""
    return _search(bench, "genetic", Random, align="auto", refit=True)


def lamarck(bench: Bench) -> Start:
    """The product's search that lets trained candidates be parents (`search.kind = "lamarck"`)."""
    return _search(bench, "lamarck", Lamarck)


def halving(bench: Bench) -> Start:
    """The product's search that trains the better half on (`search.kind = "halving"`)."""
    return _search(bench, "halving", Halving)


def halving_aligned(bench: Bench) -> Start:
    """The same, the donors in one channel basis (`donors.align = "auto"`)."""
    return _search(bench, "halving", Halving, align="auto")


def halving_refitted(bench: Bench) -> Start:
    """Halving that begins with refitted compositions of aligned donors too."""
    return _search(bench, "halving_refitted", Halving, align="auto", refit=True)


def halving_finals_included(bench: Bench) -> Start:
    """The same, so much shorter that its finals lie within the budget too."""
    return _search(bench, "halving_finals_included", Halving)


def halving_branches(bench: Bench) -> Start:
    """Halving whose last line is four trainings side by side, one mean after every epoch."""
    return _search(bench, "halving_branches", Halving)


def halving_branches_as_long(bench: Bench) -> Start:
    """The same for as many epochs as the plain line: four times the budget, in the same time."""
    return _search(bench, "halving_branches_as_long", Halving)


def _search(
    bench: Bench,
    name: str,
    kind: type[SearchKind],
    *,
    align: str = "never",
    refit: bool = False,
) -> Start:
    config = bench.config
    settings = config["searches"][name]
    executor = InProcess(bench.evaluator)
    with bench.fitness(refit=refit) as fitness:
        found = search(
            executor,
            bench.data,
            bench.given,
            DonorOptions(siblings=settings["siblings"], align=align, absorb=bench.absorb),
            kind(**settings["search"]),
            "block",
            FinalsOptions(**{**config["finals"], **settings.get("finals", {})}),
            fitness,
            bench.seed,
        )
    verdict = sum(r["epochs"] for r in found.rows if r["phase"] in ("final", "test"))
    verdict += PICTURES * fitness.passes
    note = {"written": found.result.verdict.winner, "evaluations": len(found.rows)}
    weights = copy.deepcopy(dict(found.result.weights))
    return Start([weights], executor.epochs - verdict, note, verdict)


def whole_blends(bench: Bench) -> Start:
    """MeGA's scheme: one blend factor for the whole network, over the same short siblings."""
    settings = bench.config["searches"]["genetic"]
    count, population = settings["siblings"], settings["search"]["population"]
    donors, epochs, spent = list(bench.donors), 0.0, 0
    for number in range(count * len(bench.donors)):
        donor = bench.donors[number // count]
        weights = bench.train(donor.tensors, "mega_sibling", number, 0.5)
        donors.append(donor.replace(name=f"sibling{number}", tensors=weights).without_head())
        epochs += 0.5

    def evaluate(candidate: Donor) -> float:
        nonlocal spent
        if epochs + spent + 1 > bench.budget:
            return -np.inf  # the budget is spent: nobody is trained any more
        spent += 1
        return -bench.validation_loss(bench.train(candidate.tensors, "mega", 0))

    # As many generations as it takes: how many children are new is a matter of chance.
    found = mega(donors, evaluate, population=population, generations=bench.budget, seed=bench.seed)
    return Start([found.donor.tensors], epochs + spent, {"weights": found.weights})


ARMS: dict[str, Callable[[Bench], Start]] = {
    "best donor": best_donor,
    "trained for the whole budget": trained,
    "trained, last epochs averaged": trained_average,
    "trained, stopped early, last epochs averaged": stopped_average,
    "trained, rate falling": trained_falling,
    "best of siblings": best_sibling,
    "uniform soup of siblings": uniform,
    "greedy soup of siblings": greedy,
    "learned soup of siblings": learned,
    "task arithmetic": arithmetic,
    "TIES": trimmed,
    "halving": halving,
    "halving, aligned": halving_aligned,
    "halving, aligned and refitted": halving_refitted,
    "halving, four branches": halving_branches,
    "halving, four branches as long": halving_branches_as_long,
    "halving, finals included": halving_finals_included,
    "lamarck": lamarck,
    "genetic search": genetic,
    "genetic search, aligned and refitted": genetic_refitted,
    "random search": random_search,
    "random search, aligned and refitted": random_refitted,
    "MeGA's scheme": whole_blends,
    "ensemble of siblings": ensemble,
}

# Every arm once more, from donors whose statistics were absorbed, and at the smaller rate.
ARMS |= {
    f"{name}{of}{at}": lambda bench, arm=arm, absorb=absorb, at=at: arm(
        bench.variation(absorb, bench.config["smaller_rate"] if at else bench.rate)
    )
    for name, arm in list(ARMS.items())
    for of, absorb in (("", "never"), (ABSORBED, "all"), (BODY_ABSORBED, "body"))
    for at in ("", SMALLER_RATE)
}
