"""What a policy is worth: its expected loss, exactly, from what is measured of its steps.

A step of a sub-policy happens or not, so that a sub-policy is one of four pairs of steps for each
image. Its expected loss is the mean of the four pairs' losses, weighted by their probabilities; the
loss of a policy is the mean over its sub-policies. The pairs of operations and strengths are few
and the policies many. Each pair is therefore measured once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from efn_compose.train.augment.policies.tables import Step, SubPolicy

#: An operation and its strength; then what is done after it.
Deed = tuple[str, float]
Pair = tuple[Deed, Deed]
NOTHING: Deed = ("identity", 0.0)
#: Loss of a sub-policy that changes too little or repeats another one, in nats: more than any chance.
WANTING = 100.0


@dataclass(frozen=True)
class Measured:
    """A mean over held-out images.

    Args:
        loss: Cross-entropy of networks that were not trained on them, in nats.
        change: Mean absolute change of a pixel, of 255.
    """

    loss: float
    change: float


def pairs_of(sub_policy: SubPolicy) -> dict[Pair, float]:
    """Return the pairs that a sub-policy can be, and the probability of each.

    Example:
        >>> pairs_of((("rotate", 0.25, 30.0), ("identity", 0.0, 0.0)))
        {(('rotate', 30.0), ('identity', 0.0)): 0.25, (('identity', 0.0), ('identity', 0.0)): 0.75}
    """
    first, second = map(_outcomes, sub_policy)
    found: dict[Pair, float] = {}
    for one, chance in first:
        for other, further in second:
            if chance * further:
                found[one, other] = found.get((one, other), 0.0) + chance * further
    return found


def _outcomes(step: Step) -> list[tuple[Deed, float]]:
    name, chance, size = step
    return (
        [(NOTHING, 1.0)] if name == "identity" else [((name, size), chance), (NOTHING, 1 - chance)]
    )


def needed_pairs(policies: Iterable[Sequence[SubPolicy]]) -> list[Pair]:
    """Return all pairs that policies can be, each once, in the order of their first need."""
    return list(
        dict.fromkeys(pair for policy in policies for steps in policy for pair in pairs_of(steps))
    )


def expected(policy: Sequence[SubPolicy], of: Callable[[Pair], Measured]) -> list[Measured]:
    """Return the expected loss and change of each sub-policy.

    Args:
        policy: The sub-policies.
        of: What was measured of a pair.
    """
    found = []
    for steps in policy:
        parts = [(of(pair), chance) for pair, chance in pairs_of(steps).items()]
        loss = sum(chance * part.loss for part, chance in parts)
        found.append(Measured(loss, sum(chance * part.change for part, chance in parts)))
    return found


def policy_loss(
    policy: Sequence[SubPolicy], of: Callable[[Pair], Measured], least_change: float
) -> float:
    """Return the loss of a policy; sub-policies that are wanting cost `WANTING` each.

    A sub-policy is wanting if it changes pixels less than it must, since to change nothing costs
    least; or if one before it has the same two operations, since the best policy would else be its
    best sub-policy many times.

    Args:
        policy: The sub-policies.
        of: What was measured of a pair.
        least_change: Of the mean pixel, of 255.
    """
    total, known = 0.0, set()
    for steps, part in zip(policy, expected(policy, of), strict=True):
        operations = frozenset(name for name, _, _ in steps)
        is_wanting = part.change < least_change or operations in known
        known.add(operations)
        total += WANTING if is_wanting else part.loss
    return total / len(policy)
