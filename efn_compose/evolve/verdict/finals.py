"""Finals: finalists against every donor and the average on fresh seeds, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from efn_compose.compose import Recipe
from efn_compose.errors import EvaluationError
from efn_compose.evolve.journal.ledger import Ledger, Purpose
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.journal.watcher import RunWatcher
from efn_compose.evolve.verdict.racing import still_racing
from efn_compose.evolve.verdict.verdict import (
    AVERAGE,
    COMPOSED,
    CONTROL,
    Arm,
    Verdict,
    choose_challenger,
    give_verdict,
)
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask


@dataclass(frozen=True)
class FinalResult:
    """The result of the finals.

    Args:
        winner: The recipe to write.
        arms: All contestants by name, in table order.
        verdict: Who won, and in words.
        recipes: Of all arms.
        seed: The first of the seeds that judge.
    """

    winner: Recipe
    arms: dict[str, Arm]
    verdict: Verdict
    recipes: dict[str, Recipe]
    seed: int


@dataclass(frozen=True)
class Finals:
    """Evaluates contestants on seeds that the search never used.

    Weights that bring their classifier are trained at `finals.final_rate` of the rate.

    The choice among finalists, the average among them, is made on seeds of its own: the chosen one
    was lucky there, so that it is judged on further seeds, beside donors and rivals. All of this is
    decided on search-validation. Test is scored once, of those that are judged.

    Args:
        seat: All donors, and the space of their genomes.
        donor_names: Of the contestants to beat, by donor number; donors beyond are parts.
        epochs: Per evaluation.
        seed: The run's seed.
        seeds: Number of fresh seeds of the choice, and of the judgement.
        ledger: Answers evaluation tasks.
        watcher: Told about phases.
        rivals: Further recipes to beat, by name.
    """

    seat: Seat
    donor_names: Sequence[str]
    epochs: float
    seed: int
    seeds: int
    ledger: Ledger
    watcher: RunWatcher
    rivals: Mapping[str, Recipe] = field(default_factory=dict)

    def decide(
        self,
        finalists: Sequence[Recipe],
        *,
        with_average: bool = True,
        control: Sequence[Recipe] = (),
    ) -> FinalResult:
        """Run all contestants, choose, test, and conclude.

        Args:
            finalists: The recipes that the search believes best.
            with_average: Whether the uniform average of all donors takes part.
            control: Random compositions, which race among themselves.

        Raises:
            EvaluationError: No donor survived, or too many failures in a row.
        """
        runners = {f"finalist{n + 1}": recipe for n, recipe in enumerate(finalists)}
        rivals = {
            name: Recipe.genome(self.seat.space.pure(number))
            for number, name in enumerate(self.donor_names)
        } | dict(self.rivals)
        mean, place = Recipe.average(len(self.donor_names)), f"finalist{len(finalists) + 1}"
        if with_average:
            rivals[AVERAGE] = runners[place] = mean
        drawn = {f"{CONTROL}{n + 1}": recipe for n, recipe in enumerate(control)}
        self.watcher.on_phase("final", (len(runners) + len(rivals) + len(drawn)) * self.seeds)
        candidates = runners | drawn
        raced = {arm.name: arm for arm in self._race(runners)}
        known = self._run(Purpose("final"), rivals, "validation", "test")
        entered = {AVERAGE: raced.pop(place, None), COMPOSED: choose_challenger([*raced.values()])}
        entered[CONTROL] = choose_challenger(self._race(drawn)) if drawn else None
        tested = sum(entered[title] is not None for title in (COMPOSED, CONTROL))
        self.watcher.on_phase("test", tested * self.seeds)
        judged: dict[str, Arm | None] = {AVERAGE: known.pop(AVERAGE, None)}
        for title in (COMPOSED, CONTROL):
            if (chosen := entered[title]) is not None:
                rivals[title] = candidates[chosen.name]
                picked = {title: rivals[title]}
                judged |= self._run(Purpose("test"), picked, "validation", "test")
        donors = {name: arm for name, arm in known.items() if arm is not None}
        if not donors:
            raise EvaluationError(
                "No donor survived the finals on all seeds; there is nothing to compare with. "
                "The journal says why each failed."
            )
        made = {name: arm for name, arm in judged.items() if arm is not None}
        able = [replace(arm, name=name) for name, arm in entered.items() if arm and name in made]
        challenger = choose_challenger(able)
        verdict = give_verdict(
            challenger and made[challenger.name], list(donors.values()), list(made.values())
        )
        listed = (made.get(COMPOSED), *donors.values(), made.get(AVERAGE), made.get(CONTROL))
        arms = {arm.name: arm for arm in listed if arm is not None}
        return FinalResult(
            rivals[verdict.winner], arms, verdict, rivals, self._seeds("judgement")[0]
        )

    def _race(self, recipes: dict[str, Recipe]) -> list[Arm]:
        """Evaluate finalists seed by seed, and go on without those that have clearly lost.

        Returns:
            The finalists that were run on all seeds.
        """
        left = dict(recipes)
        evaluations: dict[str, list[Evaluation]] = {name: [] for name in recipes}
        for seed in self._seeds("choice"):
            tasks = [
                EvaluationTask(recipe, seed, self.epochs, gentle=True) for recipe in left.values()
            ]
            found = self.ledger.evaluate(Purpose("final"), tasks, self.seat, list(left))
            for name, evaluation in zip(left, found, strict=True):
                evaluations[name].append(evaluation)
            losses = {
                name: [e.loss for e in evaluations[name] if e.loss is not None]
                for name in left
                if evaluations[name][-1].loss is not None
            }
            left = {name: left[name] for name in still_racing(losses)}
        arms = [arm_of(name, evaluations[name]) for name in left]
        return [arm for arm in arms if arm is not None]

    def _run(
        self, purpose: Purpose, recipes: dict[str, Recipe], *parts: str
    ) -> dict[str, Arm | None]:
        """Evaluate recipes on the seeds that judge, one by one; None for an arm that failed."""
        pairs = [(name, seed) for seed in self._seeds("judgement") for name in recipes]
        tasks = [
            EvaluationTask(recipes[name], seed, self.epochs, parts, gentle=True)
            for name, seed in pairs
        ]
        found = self.ledger.evaluate(purpose, tasks, self.seat, [name for name, _ in pairs])
        by_name: dict[str, list[Evaluation]] = {name: [] for name in recipes}
        for (name, _), evaluation in zip(pairs, found, strict=True):
            by_name[name].append(evaluation)
        return {name: arm_of(name, evaluations) for name, evaluations in by_name.items()}

    def _seeds(self, use: Literal["judgement", "choice"]) -> list[int]:
        first = self.seeds if use == "choice" else 0
        return [derive_seed(self.seed, "final", first + number) for number in range(self.seeds)]


def arm_of(name: str, evaluations: Sequence[Evaluation]) -> Arm | None:
    """Return an arm from its evaluations, one per seed; None if any of them failed."""
    if any(evaluation.error is not None for evaluation in evaluations):
        return None
    scores = [evaluation.scores for evaluation in evaluations]
    test = [part["test"] for part in scores if "test" in part]
    return Arm(
        name=name,
        validation_loss=tuple(part["validation"]["loss"] for part in scores),
        test_loss=tuple(part["loss"] for part in test),
        test_scores={
            metric: tuple(part[metric] for part in test)
            for metric in (test[0] if test else {})
            if metric != "loss"
        },
    )
