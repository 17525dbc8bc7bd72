"""The search seen from its journal: estimates, incumbents, diversity, repeats."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.reading.evaluation_view import EvaluationView
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.noise import noise_of
from efn_compose.evolve.genetic.estimates import FitnessTable, paired_noise
from efn_compose.evolve.genetic.standing import standing
from efn_compose.evolve.journal.watcher import Standing

#: Places at which the incumbent's estimate is computed; more would not be seen.
_CHECKPOINTS = 80


@dataclass(frozen=True)
class Incumbent:
    """The genome that was believed best after a generation.

    Args:
        generation: Number of the generation.
        index: Number of its last evaluation.
        genome: The genome.
        loss: What was believed of it, as the run itself says while it goes on.
        runs: Number of runs.
    """

    generation: int
    index: int
    genome: tuple[int, ...]
    loss: float
    runs: int


@dataclass(frozen=True)
class GenerationView:
    """One generation.

    Args:
        number: Its number.
        first: Index of its first evaluation.
        last: Index of its last evaluation.
        distance: Mean share of genes in which two of its genomes differ, 0 to 1.
        shares: Share of the network's parts that its genomes give to each donor, summing to 1.
        best: Smallest loss in it, under its own seed.
    """

    number: int
    first: int
    last: int
    distance: float | None
    shares: tuple[float, ...]
    best: float | None


@dataclass(frozen=True)
class SearchView:
    """The search phase of a run.

    Args:
        generations: In order.
        incumbents: Believed best after (some) generations, in order.
        genomes: Number of different genomes evaluated.
        reruns: Evaluations of genomes known from earlier generations, made on purpose.
        repeats: Evaluations of the same recipe under the same seed and parts: paid for twice.
        failures: Evaluations without a score, over the whole run.
        noise_deviation: Standard deviation of one evaluation around its genome's mean, from
            the reruns, common luck of a generation removed; None without reruns.
        standing: What the search believes of its best genome and of the donors.
    """

    generations: tuple[GenerationView, ...]
    incumbents: tuple[Incumbent, ...]
    genomes: int
    reruns: int
    repeats: int
    failures: tuple[EvaluationView, ...]
    noise_deviation: float | None
    standing: Standing

    @property
    def best(self) -> Incumbent | None:
        """The genome believed best now."""
        return self.incumbents[-1] if self.incumbents else None


def search_view(run: RunView) -> SearchView:
    """Return the search phase of a run so far, with the beliefs that the search has."""
    grouped: dict[int, list[EvaluationView]] = {}
    for evaluation in run.by_phase.get("search", ()):
        if evaluation.kind == "genome":
            grouped.setdefault(evaluation.generation, []).append(evaluation)
    numbers = sorted(grouped)
    step = max(1, -(-len(numbers) // _CHECKPOINTS))
    noise = noise_of(run)
    prior = paired_noise(noise.losses, noise.other_losses) if noise is not None else (0.0, 0)
    table, incumbents = FitnessTable(*prior), []
    for position, number in enumerate(numbers):
        table.add_generation({_genome(e): e.loss for e in grouped[number]})
        if position % step == 0 or position == len(numbers) - 1:
            incumbents.append(_incumbent(table, number, grouped[number][-1].index))
    evaluated = [e for number in numbers for e in grouped[number]]
    distinct = {e.values for e in evaluated}
    pure = {
        donor: genome
        for genome in table.estimates()
        if genome and (donor := run.genomes.pure_donor(genome)) is not None
    }
    return SearchView(
        generations=tuple(_generation(n, grouped[n], run) for n in numbers),
        incumbents=tuple(found for found in incumbents if found is not None),
        genomes=len(distinct),
        reruns=len(evaluated) - len(distinct),
        repeats=_repeats(run),
        failures=tuple(e for e in run.evaluations if e.error is not None),
        noise_deviation=_rerun_deviation(evaluated, table.generation_effects, numbers),
        standing=standing(table, pure),
    )


def _rerun_deviation(
    evaluations: list[EvaluationView], effects: list[float], numbers: list[int]
) -> float | None:
    """Return the spread of runs around their genome's mean, generation effects removed."""
    effect_of = dict(zip(numbers, effects, strict=True))
    runs: dict[tuple[float, ...], list[float]] = {}
    for evaluation in evaluations:
        if evaluation.loss is not None:
            adjusted = evaluation.loss - effect_of[evaluation.generation]
            runs.setdefault(evaluation.values, []).append(adjusted)
    repeated = [np.array(losses) for losses in runs.values() if len(losses) > 1]
    freedom = sum(len(losses) - 1 for losses in repeated)
    if not freedom:
        return None
    squares = sum(float(((losses - losses.mean()) ** 2).sum()) for losses in repeated)
    return (squares / freedom) ** 0.5


def _genome(evaluation: EvaluationView) -> tuple[int, ...]:
    return tuple(int(value) for value in evaluation.values)


def _incumbent(table: FitnessTable, generation: int, index: int) -> Incumbent | None:
    found = table.estimates()
    if not found:
        return None
    genome = min(found, key=lambda genome: (found[genome].shrunk, genome))
    return Incumbent(generation, index, genome, found[genome].shrunk, found[genome].runs)


def _generation(number: int, evaluations: list[EvaluationView], run: RunView) -> GenerationView:
    losses = [e.loss for e in evaluations if e.loss is not None]
    lengths = Counter(len(e.values) for e in evaluations)
    length = lengths.most_common(1)[0][0]
    genes = np.array([_genome(e) for e in evaluations if len(e.values) == length], int)
    values = range(int(genes.max(initial=0)) + 1)
    counts = np.stack([(genes == value).sum(axis=0) for value in values])
    return GenerationView(
        number=number,
        first=evaluations[0].index,
        last=evaluations[-1].index,
        distance=mean_distance(counts, len(genes)),
        shares=_shares(evaluations, run),
        best=min(losses, default=None),
    )


def _shares(evaluations: list[EvaluationView], run: RunView) -> tuple[float, ...]:
    hosts: Counter[int] = Counter()
    for evaluation in evaluations:
        if run.genomes.genes_are_donors:
            hosts.update(_genome(evaluation))
        elif found := run.genomes.decode(evaluation.values):
            hosts.update(found.segments.values())
    whole = max(1, hosts.total())
    return tuple(hosts[donor] / whole for donor in range(max(1, len(run.donors))))


def mean_distance(counts: np.ndarray, genomes: int) -> float | None:
    """Return the mean share of genes in which two genomes of a population differ.

    Args:
        counts: How many genomes have each donor at each locus, (donor, locus).
        genomes: Number of genomes.

    Returns:
        0 (all equal) to 1; None for fewer than two genomes or no loci.

    Example:
        >>> mean_distance(np.array([[2, 1], [0, 1]]), genomes=2)
        0.5
    """
    if genomes < 2 or counts.shape[1] == 0:
        return None
    equal_pairs = (counts * (counts - 1)).sum(axis=0) / (genomes * (genomes - 1))
    return float(1 - equal_pairs.mean())


def _repeats(run: RunView) -> int:
    counts = Counter(
        (e.recipe, e.seed, tuple(sorted(e.scores))) for e in run.evaluations if e.error is None
    )
    return sum(count - 1 for count in counts.values())
