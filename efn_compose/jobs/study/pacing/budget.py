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

#: By number of the point: what an epoch costs, and the epochs of the warm-up together.
_Costs = Mapping[int, tuple[float, float]]
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
    costs = {
        number: _multiply_adds(plan.spec, plan)
        for number, plan in enumerate(plans)
        if plan.spec and not plan.problem
    }
    return _with_epochs(plans, costs, "multiply-adds")


def _multiply_adds(spec: ArchSpec, plan: Plan) -> tuple[float, float]:
    """Return the multiply-adds of an image: of an epoch, the mean over sizes, and of the warm-up."""
    sides = plan.train.sizes or (plan.side,)
    epoch = statistics.fmean(cost(spec, side).multiply_adds for side in sides)
    return epoch, plan.train.warm_up_epochs * float(cost(spec, sides[0]).multiply_adds)


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
    costs = {}
    for number, (plan, pace) in enumerate(zip(plans, paces, strict=True)):
        if pace is not None:
            epoch = epoch_seconds(pace, plan, *images[plan.source, plan.side])
            costs[number] = (epoch, plan.train.warm_up_epochs * epoch)
    return _with_epochs(plans, costs, "seconds")


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


def _with_epochs(plans: Sequence[Plan], costs: _Costs, equal: str) -> list[Plan]:
    """Return the plans with their budgets; what is compared is trained on one data set."""
    found = list(plans)
    for source in dict.fromkeys(plan.source for plan in plans):
        known = {number: one for number, one in costs.items() if plans[number].source == source}
        if not known:
            continue
        epochs = plans[0].train.epochs
        middle = statistics.median(epoch for epoch, _ in known.values())
        budget = statistics.median(epochs * epoch + warm_up for epoch, warm_up in known.values())
        for number, (epoch, warm_up) in known.items():
            left = (budget - warm_up) / epoch
            fewest = max(1, len(plans[number].train.sizes))
            # Each further epoch of the middle one buys this one `middle / epoch`.
            enough = math.ceil(epochs + (fewest - left) * epoch / middle)
            found[number] = _lasting(plans[number], left, fewest, enough, equal)
    return found


def _lasting(plan: Plan, epochs: float, fewest: int, enough: int, equal: str) -> Plan:
    """Return a plan of so many epochs, rounded; a budget of less than the fewest is a problem."""
    if round(epochs) >= fewest:
        return dataclasses.replace(
            plan, train=dataclasses.replace(plan.train, epochs=round(epochs))
        )
    warm_up = " beside its warm-up" if plan.train.warm_up_epochs else ""
    problem = (
        f"{plan.network} at {plan.side} px gets {max(0.0, epochs):.2g} epochs{warm_up} where all "
        f"trainings have equal {_UNITS[equal]}, and {fewest} is the fewest. Set train.epochs = {enough}, "
        "or leave the network out."
    )
    return dataclasses.replace(plan, problem=f"{plan.problem} {problem}".strip())
