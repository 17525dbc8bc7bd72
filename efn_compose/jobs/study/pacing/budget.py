"""How many epochs each point of a study gets, so that all trainings cost the same."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from efn_compose.arch import ArchSpec
from efn_compose.arch.cost import cost
from efn_compose.errors import ConfigError
from efn_compose.jobs.study.options import StudyOptions
from efn_compose.jobs.study.pacing.paces import StudyPace
from efn_compose.jobs.study.plans import Plan

#: What the epochs of a point cost, in a sentence.
_UNITS = {"multiply-adds": "multiply-adds", "seconds": "processor time"}


def check_budget(study: StudyOptions, axes: Sequence[str], plans: Sequence[Plan]) -> None:
    """Refuse what contradicts `study.equal`.

    Args:
        study: The section.
        axes: Names of the axes with several levels.
        plans: One per point.

    Raises:
        ConfigError: The budget cannot be the same for all trainings.
    """
    if study.equal == "epochs":
        return
    if "train.epochs" in axes:
        raise ConfigError(
            f"study.equal = {study.equal!r} decides the epochs, so train.epochs is no axis. Remove it "
            "from study.factors, or set study.equal = 'epochs'."
        )
    if study.equal == "multiply-adds" and any(plan.function for plan in plans):
        raise ConfigError(
            "study.equal = 'multiply-adds' needs networks whose cost is counted, which functions "
            "are not. Set study.equal = 'seconds', for which they are measured, or 'epochs'."
        )
    if study.equal == "seconds" and any(plan.train.sizes for plan in plans):
        raise ConfigError(
            "study.equal = 'seconds' measures an epoch at one image size, and train.sizes changes it "
            "on the way. Leave train.sizes empty, or set study.equal = 'multiply-adds'."
        )


def equal_multiply_adds(plans: Sequence[Plan]) -> list[Plan]:
    """Give every point the epochs that cost as many multiply-adds as the middle one's.

    Args:
        plans: One per point.
    """
    # What cannot be trained has no say in what the others get.
    adds = [
        _multiply_adds(plan.spec, plan) if plan.spec and not plan.problem else None
        for plan in plans
    ]
    return _with_epochs(plans, adds, "multiply-adds")


def _multiply_adds(spec: ArchSpec, plan: Plan) -> float:
    """Return the multiply-adds of an image, mean over the sizes that take turns in the epochs."""
    sides = plan.train.sizes or (plan.side,)
    return statistics.fmean(cost(spec, side).multiply_adds for side in sides)


def equal_seconds(
    plans: Sequence[Plan],
    paces: Sequence[StudyPace | None],
    images: Mapping[tuple[str, int], tuple[int, int]],
) -> list[Plan]:
    """Give every point the epochs that take as many seconds as the middle one's.

    Args:
        plans: One per point.
        paces: Of every point; None where there is none.
        images: Images that train and images that validate, by data set and size.
    """
    seconds = [
        None if pace is None else epoch_seconds(pace, plan, *images[plan.source, plan.side])
        for plan, pace in zip(plans, paces, strict=True)
    ]
    return _with_epochs(plans, seconds, "seconds")


def epoch_seconds(pace: StudyPace, plan: Plan, train: int, validation: int) -> float:
    """Return what an epoch takes: updates, BatchNorm statistics, scores, and its state file.

    Args:
        pace: Of the point.
        plan: Of the point.
        train: Images that train.
        validation: Images that validate.
    """
    forward = min(train, plan.train.statistics_images) + validation
    return train * pace.train + forward * pace.forward + pace.between


def budgeted(costs: Mapping[int, float], epochs: int) -> dict[int, float]:
    """Return how many epochs cost as much as `epochs` of the middle one do, before rounding.

    Args:
        costs: Of an epoch, by number of the point.
        epochs: Of the middle one.

    Example:
        >>> budgeted({0: 1.0, 1: 2.0, 2: 8.0}, 8)
        {0: 16.0, 1: 8.0, 2: 2.0}
    """
    middle = statistics.median(costs.values())
    return {number: epochs * middle / value for number, value in costs.items()}


def _with_epochs(plans: Sequence[Plan], costs: Sequence[float | None], equal: str) -> list[Plan]:
    """Return the plans with their budgets; what is compared is trained on one data set."""
    found = list(plans)
    for source in dict.fromkeys(plan.source for plan in plans):
        known = {
            number: float(value)
            for number, (plan, value) in enumerate(zip(plans, costs, strict=True))
            if plan.source == source and value is not None
        }
        epochs = budgeted(known, plans[0].train.epochs) if known else {}
        for number, count in epochs.items():
            found[number] = _lasting(plans[number], count, equal)
    return found


def _lasting(plan: Plan, epochs: float, equal: str) -> Plan:
    """Return a plan of so many epochs, rounded; a budget of less than one is a problem."""
    fewest = max(1, len(plan.train.sizes))
    if round(epochs) >= fewest:
        return dataclasses.replace(
            plan, train=dataclasses.replace(plan.train, epochs=round(epochs))
        )
    enough = math.ceil(plan.train.epochs * fewest / epochs)
    problem = (
        f"{plan.network} at {plan.side} px gets {epochs:.2g} epochs where all trainings have equal "
        f"{_UNITS[equal]}, and {fewest} is the fewest. Set train.epochs = {enough}, or leave the "
        "network out."
    )
    return dataclasses.replace(plan, problem=f"{plan.problem} {problem}".strip())
