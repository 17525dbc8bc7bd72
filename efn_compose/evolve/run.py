"""A whole search, phase by phase: siblings, noise, generations, finals, test."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from efn_compose.compose import DonorMap, Genome, GenomeSpace, Recipe, genome_space
from efn_compose.compose.space import Granularity
from efn_compose.donors import Donor
from efn_compose.donors.options import DonorOptions
from efn_compose.errors import EvaluationError
from efn_compose.evolve.founders.founders import Founders
from efn_compose.evolve.founders.lineage_flags import LineageFlags
from efn_compose.evolve.genetic.estimates import paired_noise
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.budget import Budget
from efn_compose.evolve.journal.ledger import Ledger, Purpose
from efn_compose.evolve.journal.run_clock import RunClock
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.journal.watcher import RunWatcher
from efn_compose.evolve.kinds.kind import SearchKind, Workplace
from efn_compose.evolve.lines.descendants import Descendants, average_of
from efn_compose.evolve.options import BudgetOptions, FinalsOptions, FitnessOptions
from efn_compose.evolve.verdict.finals import FinalResult, Finals
from efn_compose.evolve.verdict.predictions import Predictions, predict_test
from efn_compose.evolve.verdict.verdict import RIVALS, Arm, Verdict
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask, FinishTask
from efn_compose.store.journal import Journal

Result = TypeVar("Result")


@dataclass(frozen=True)
class Noise:
    """Spread of the fitness of one donor over seeds, and of a second one over the same seeds.

    Args:
        arm: The donor.
        losses: One validation loss per seed.
        other_losses: The second donor's, where there is one: what a common seed does
            to both alike is no noise in a comparison.
    """

    arm: str
    losses: tuple[float, ...]
    other_losses: tuple[float, ...] = ()

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two runs."""
        return statistics.stdev(self.losses) if len(self.losses) > 1 else None

    @property
    def of_comparison(self) -> tuple[float, int]:
        """Variance of one run where seeds are common, and its degrees of freedom."""
        return paired_noise(self.losses, self.other_losses)


@dataclass(frozen=True)
class RunResult:
    """Everything a finished run knows.

    Args:
        donors: All donors, siblings last.
        space: The genome space.
        noise: Spread of the fitness, measured first.
        arms: All contestants of the finals by name, in table order.
        verdict: Who won, and in words.
        winner: The recipe that was written.
        weights: Its backbone tensors.
        evaluations: Number of evaluations.
        seconds: Wall time by phase of this process (replayed phases take none).
        generation_effects: Luck of each generation's seed, as estimated.
        predictions: What best donor and challenger make of each test image, for people to look at.
        lineages: Names of the donors of each lineage.
        flags: What a person must know about lineages that were mixed, one sentence each.
        start: What the written weights' training began as, where they were trained on; its
            donor numbers are those of the first donors.
    """

    donors: tuple[Donor, ...]
    space: GenomeSpace
    noise: Noise
    arms: dict[str, Arm]
    verdict: Verdict
    winner: Recipe
    weights: dict[str, np.ndarray]
    evaluations: int
    seconds: dict[str, float] = field(default_factory=dict)
    generation_effects: tuple[float, ...] = ()
    predictions: Predictions | None = None
    lineages: tuple[tuple[str, ...], ...] = ()
    flags: tuple[str, ...] = ()
    start: DonorMap | None = None


class EvolutionRun:
    """One search over donors of one network.

    Args:
        donors: Harmonised, headless donors.
        options: Alignment, absorption and siblings.
        data_fingerprint: Of the data set that the executor's workers hold.
        kind: How to search.
        granularity: What one gene moves.
        finals: Repeats of the noise, finalists, fresh seeds.
        fitness: Epochs per evaluation.
        seed: The run's seed.
        executor: Answers tasks.
        journal: The run's journal.
        folder: Where siblings are kept.
        watcher: Told about everything.
        on_donors: Told all donors and the genome space once they are known.
        budget: When the search ends; by its number of generations by default.
        clock: Counts the time used.
    """

    def __init__(
        self,
        donors: Sequence[Donor],
        options: DonorOptions,
        data_fingerprint: str,
        kind: SearchKind,
        granularity: Granularity,
        finals: FinalsOptions,
        fitness: FitnessOptions,
        seed: int,
        executor: Executor,
        journal: Journal,
        folder: Path,
        watcher: RunWatcher,
        on_donors: Callable[[Sequence[Donor], GenomeSpace], None] | None = None,
        budget: BudgetOptions | None = None,
        clock: RunClock | None = None,
    ) -> None:
        self._budget = budget or BudgetOptions()
        self._on_donors = on_donors
        self._base, self._donor_options = list(donors), options
        self._data_fingerprint = data_fingerprint
        self._kind, self._granularity, self._finals_options = kind, granularity, finals
        self._fitness, self._seed = fitness, seed
        self._executor, self._folder, self._watcher = executor, folder, watcher
        self._ledger = Ledger(journal, executor, watcher, clock=clock)
        self.seconds: dict[str, float] = {}
        self.donors: list[Donor] = []
        #: Number of donors that are contestants of the finals; later ones are parts of averages.
        self._contestants = 0
        #: The first recipe of a line, by number of a trained network.
        self._starts: dict[int, Genome] = {}
        #: Averages that compositions must beat besides donors.
        self._rivals: dict[str, Recipe] = {}
        self._effects: tuple[float, ...] = ()
        #: The best of the random compositions beside the search.
        self._control: Sequence[Recipe] = ()
        self._lineages = LineageFlags((), (), True)
        self._sit(genome_space(self._base[0].spec, len(self._base), granularity), self._base)

    @property
    def space(self) -> GenomeSpace:
        """The genome space."""
        return self.seat.space

    def _sit(self, space: GenomeSpace, donors: Sequence[Donor]) -> None:
        """Say what donor numbers mean from now on."""
        self.seat = Seat(space, [donor.tensors for donor in donors])

    def run(self) -> RunResult:
        """Run all phases and return the result.

        Raises:
            EvaluationError: No donor could be evaluated, or too many failures in a row.
        """
        if self._ledger.asked_again:
            self._watcher.on_note(
                f"The last {self._ledger.asked_again} evaluations had failed; they are made again."
            )
        self._timed("donors", self._prepare_donors)
        noise = self._timed("noise", self.measure_noise)
        finalists = self._timed("search", lambda: self._search(noise))
        finals = self._timed("final", lambda: self._finals(finalists))
        weights = self._timed("finish", lambda: self._finish(finals.winner))
        predictions = self._timed(
            "predictions",
            lambda: predict_test(finals, self._fitness.passes, self._executor, self.seat),
        )
        return RunResult(
            donors=tuple(self.donors),
            space=self.space,
            noise=noise,
            arms=finals.arms,
            verdict=finals.verdict,
            winner=finals.winner,
            weights=weights,
            evaluations=self._ledger.count,
            seconds=self.seconds,
            generation_effects=self._effects,
            predictions=predictions,
            lineages=tuple(map(tuple, self._lineages.groups)),
            flags=self._flags(finals.winner),
            start=self._start_of(finals.winner),
        )

    def measure_noise(self) -> Noise:
        """Evaluate the first and the last donor under several seeds; the spread is luck."""
        repeats = self._finals_options.noise_repeats
        numbers = sorted({0, len(self.donors) - 1})
        self._watcher.on_phase("noise", repeats * len(numbers))
        tasks = [
            EvaluationTask(
                Recipe.genome(self.space.pure(n)),
                derive_seed(self._seed, "noise", repeat),
                self._fitness.passes,
            )
            for n in numbers
            for repeat in range(repeats)
        ]
        names = [self.donors[n].name for n in numbers for _ in range(repeats)]
        found = self._ledger.evaluate(Purpose("noise"), tasks, self.seat, names)
        losses = [evaluation.loss for evaluation in found]
        first = tuple(loss for loss in losses[:repeats] if loss is not None)
        paired = tuple(loss for loss in losses[repeats:] if loss is not None)
        is_whole = None not in losses
        return Noise(self.donors[0].name, first, paired if is_whole else ())

    def _timed(self, phase: str, action: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        try:
            return action()
        finally:
            self.seconds[phase] = round(time.perf_counter() - start, 3)

    def _prepare_donors(self) -> None:
        founders = Founders(
            options=self._donor_options,
            granularity=self._granularity,
            seed=self._seed,
            data_fingerprint=self._data_fingerprint,
            executor=self._executor,
            folder=self._folder,
            watcher=self._watcher,
        )
        self.donors, self.seat = founders.prepare(self._base)
        self._contestants = len(self.donors)
        self._watcher.set_donors([donor.name for donor in self.donors])
        self._lineages = LineageFlags.of(self.donors, self.space.lineages)
        for flag in self._flags():
            self._watcher.on_note(flag)
        if self._on_donors is not None:
            self._on_donors(self.donors, self.space)

    def _flags(self, winner: Recipe | None = None) -> tuple[str, ...]:
        """Return the notes on mixed lineages."""
        if self._kind.keeps_one_lineage:
            return ()
        start = None if winner is None else self._start_of(winner)
        written = [] if winner is None else self._lineages.of_winner(winner, self.space, start)
        found = self._lineages.of_search(
            with_average=not self._kind.trains_on, with_mixtures=winner is None or bool(written)
        )
        if winner is not None:
            found += written
            is_mixed = winner.is_mixed(self.space) if start is None else not start.is_pure
            if self._fitness.refit and is_mixed:
                found.append(
                    "The project convolutions of mixed blocks were refitted to their host's outputs "
                    "(fitness.refit): the donor map says where their filters began."
                )
        return tuple(found)

    def _loop(self, noise: Noise) -> SearchLoop:
        count = len(self.donors)
        phases = self._kind.plan(self._finals_options, count, budget=self._budget).phases
        budget = Budget(self._budget, self._ledger.clock, workers=self._executor.workers)
        self._watcher.on_phase("search", 0 if budget.is_open else phases["search"])
        return SearchLoop(
            seat=self.seat,
            donor_names=tuple(donor.name for donor in self.donors),
            generations=self._kind.generations,
            size=lambda generation: self._kind.size(generation, count),
            ending=lambda last: self._kind.ending(self._finals_options, last, count).evaluations,
            epochs=self._fitness.passes,
            seed=self._seed,
            noise=noise.of_comparison,
            ledger=self._ledger,
            budget=budget,
            watcher=self._watcher,
        )

    def _search(self, noise: Noise) -> list[Recipe]:
        """Search, and return what to put up in the finals, best first."""
        finalists = self._finals_options.finalists
        workplace = Workplace(self.donors, self._executor, self._folder)
        found = self._kind.search(self._loop(noise), workplace, finalists)
        self._effects, self._control = found.effects, found.control
        if found.descendants is not None:
            return self._adopt(found.descendants)[:finalists]
        return list(found.finalists)

    def _adopt(self, found: Descendants) -> list[Recipe]:
        """Number the networks of a Lamarckian search after the donors; return its averages."""
        first, self._founded = self.donors[0], self.space
        self.donors += [
            first.replace(
                name=name,
                tensors=tensors,
                provenance=self._origin(found.starts.get(name), found.founder),
            )
            for name, tensors in found.networks.items()
        ]
        self._sit(genome_space(first.spec, len(self.donors), "stage"), self.donors)
        self._contestants += next(iter(found.networks)) in RIVALS
        if self._on_donors is not None:
            self._on_donors(self.donors, self.space)
        names = [donor.name for donor in self.donors]
        self._starts = {
            number: found.starts[donor.name]
            for number, donor in enumerate(self.donors)
            if donor.name in found.starts
        }
        self._rivals = {name: average_of(members, names) for name, members in found.rivals.items()}
        return [average_of(members, names) for _, members in found.candidates]

    def _origin(self, start: Genome | None, founder: int) -> dict[str, Any]:
        """Return the provenance of a trained network: of the donor that most of its start is from.

        Without a start, of its founder.
        """
        here = {"trained": "on the run's training images, in this run"}
        if start is None:
            return {**self.donors[founder].provenance, **here}
        recipe = Recipe.genome(start)
        host = self.donors[recipe.host(self._founded)]
        used = [self.donors[number].name for number in recipe.donors_used(self._founded)]
        return {**host.provenance, "began_as": used, **here}

    def _start_of(self, winner: Recipe) -> DonorMap | None:
        """Return the first recipe of the winner's line; None if it was not trained on."""
        numbers = winner.donors_used(self.space)
        found = [self._starts[number] for number in numbers if number in self._starts]
        is_one_line = len(found) == len(numbers) and all(start == found[0] for start in found)
        return self._founded.decode(found[0]) if found and is_one_line else None

    def _finals(self, finalists: Sequence[Recipe]) -> FinalResult:
        finals = Finals(
            seat=self.seat,
            donor_names=[donor.name for donor in self.donors[: self._contestants]],
            epochs=self._fitness.passes,
            seed=self._seed,
            seeds=self._finals_options.final_seeds,
            ledger=self._ledger,
            watcher=self._watcher,
            rivals=self._rivals,
        )
        # What trains on puts up averages of trained networks; one with raw donors is none of them.
        with_average = not self._kind.trains_on
        return finals.decide(finalists, with_average=with_average, control=self._control)

    def _finish(self, winner: Recipe) -> dict[str, np.ndarray]:
        """Return the tensors to write: composed, statistics re-estimated where mixed."""
        for _, outcome in self._executor.run([FinishTask(winner)], self.seat):
            if outcome.error is None:
                return outcome.value
            raise EvaluationError(f"The winner cannot be composed: {outcome.error}.")
        raise EvaluationError("The executor did not answer.")
