"""The contestants of the finals with means, errors and paired differences to the best donor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.evolve.verdict.verdict import (
    AVERAGE,
    COMPOSED,
    CONTROL,
    Difference,
    paired_difference,
    reference_kind,
    rival_title,
)

ArmKind = Literal["composed", "average", "control", "donor"]
Part = Literal["test", "validation"]


def contestant_title(name: str) -> str:
    """Return the name of a contestant as people read it.

    Example:
        >>> contestant_title("random_search"), contestant_title("lite1")
        ('Best random composition', 'lite1')
    """
    titles = {
        COMPOSED: "Composed",
        AVERAGE: "Uniform average",
        CONTROL: "Best random composition",
    }
    return titles.get(name, name)


@dataclass(frozen=True)
class ArmView:
    """One contestant, run on the same fresh seeds as all others.

    Args:
        name: Donor name, "composed" or "uniform_average".
        kind: "donor", "average" or another kind of contestant.
        validation_loss: One per seed, nats.
        test_loss: One per seed, nats; empty where not scored yet.
        test_scores: Further metrics on the test split, one per seed each.
        seeds: Of the runs; empty where unknown.
    """

    name: str
    kind: ArmKind
    validation_loss: tuple[float, ...]
    test_loss: tuple[float, ...] = ()
    test_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The name as people read it."""
        return contestant_title(self.name)

    def losses(self, part: str) -> tuple[float, ...]:
        """Return the losses on "validation" or "test"."""
        return self.test_loss if part == "test" else self.validation_loss


@dataclass(frozen=True)
class Scoreboard:
    """All contestants, best first.

    Args:
        arms: Ordered by mean test loss, or validation loss while the test is to come.
        winner: Name of the arm that was written; empty while undecided.
        best_donor: Name of the donor others are compared with; empty where there is none.
        part: "test" or "validation": the split of the order and of the differences.
    """

    arms: tuple[ArmView, ...]
    winner: str
    best_donor: str
    part: Part

    def arm(self, name: str) -> ArmView | None:
        """Return an arm by name."""
        return next((arm for arm in self.arms if arm.name == name), None)

    @property
    def rival(self) -> str:
        """Name of the rival: the best donor, or weights made from one."""
        return reference_kind(self.best_donor)

    @property
    def rival_title(self) -> str:
        """The same by its name, in a sentence."""
        return rival_title(self.best_donor)

    def difference(self, arm: ArmView, part: str = "") -> Difference | None:
        """Return arm minus best donor over common seeds; None where it cannot be formed."""
        rival = self.arm(self.best_donor)
        if rival is None or rival is arm:
            return None
        part = part or self.part
        return difference(arm.losses(part), rival.losses(part))


def difference(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """Return the paired difference of two lists; None unless equally long and at least two."""
    if len(first) != len(second) or len(first) < 2:
        return None
    return paired_difference(first, second)


def scoreboard(run: RunView) -> Scoreboard:
    """Return the scoreboard of a run, from its result or else from its journal."""
    arms = _from_result(run) or _from_journal(run)
    part: Part = "test" if any(arm.test_loss for arm in arms) else "validation"
    ordered = sorted(arms, key=lambda arm: (_mean(arm.losses(part)), arm.name))
    donors = [arm for arm in ordered if arm.kind == "donor" and arm.validation_loss]
    # The best donor is chosen on validation, as the verdict does; test is only reported.
    best = min(donors, key=lambda arm: (_mean(arm.validation_loss), arm.name), default=None)
    named = str(run.result.get("best_donor") or "")
    return Scoreboard(
        arms=tuple(ordered),
        winner=str(run.result.get("winner") or ""),
        best_donor=named or (best.name if best else ""),
        part=part,
    )


def _from_result(run: RunView) -> list[ArmView]:
    found = run.result.get("arms")
    arms = []
    seeds = _final_seeds(run)
    for name, scores in (found if isinstance(found, dict) else {}).items():
        scores = scores if isinstance(scores, dict) else {}
        losses = _numbers(scores.get("validation_loss"))
        arms.append(
            ArmView(
                name=str(name),
                kind=_kind(str(name)),
                validation_loss=losses,
                test_loss=_numbers(scores.get("test_loss")),
                test_scores={
                    str(key).removeprefix("test_"): _numbers(values)
                    for key, values in scores.items()
                    if str(key).startswith("test_") and key != "test_loss"
                },
                seeds=seeds if len(seeds) == len(losses) else (),
            )
        )
    return arms


def _final_seeds(run: RunView) -> tuple[int, ...]:
    finals = run.by_phase.get("final", ())
    judged = (evaluation.seed for evaluation in finals if "test" in evaluation.scores)
    return tuple(dict.fromkeys(judged))


def _from_journal(run: RunView) -> list[ArmView]:
    """Return the arms that the journal knows so far; finalists are not contestants yet."""
    donors = {donor.name for donor in run.donors}
    runs: dict[str, list[Any]] = {}
    for evaluation in (*run.by_phase.get("final", ()), *run.by_phase.get("test", ())):
        if evaluation.arm in donors or evaluation.arm in (AVERAGE, COMPOSED, CONTROL):
            runs.setdefault(evaluation.arm, []).append(evaluation)
    arms = []
    for name, evaluations in runs.items():
        if any(e.loss is None for e in evaluations):
            continue
        tested = [e.scores["test"] for e in evaluations if "test" in e.scores]
        tested = tested if len(tested) == len(evaluations) else []
        metrics = sorted(set(tested[0]) - {"loss"}) if tested else []
        arms.append(
            ArmView(
                name=name,
                kind=_kind(name),
                validation_loss=tuple(e.loss for e in evaluations),
                test_loss=tuple(scores["loss"] for scores in tested if "loss" in scores),
                test_scores={
                    key: tuple(scores[key] for scores in tested if key in scores) for key in metrics
                },
                seeds=tuple(e.seed for e in evaluations),
            )
        )
    return arms


def _kind(name: str) -> ArmKind:
    kinds: dict[str, ArmKind] = {
        COMPOSED: "composed",
        AVERAGE: "average",
        CONTROL: "control",
    }
    return kinds.get(name, "donor")


def _numbers(values: object) -> tuple[float, ...]:
    if not isinstance(values, list):
        return ()
    return tuple(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("inf")
