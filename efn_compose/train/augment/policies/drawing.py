"""What each image draws from a policy: operations, and their strengths."""

from collections.abc import Sequence

import tensorflow as tf

from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.policies.tables import (
    LEVELS,
    OPERATIONS,
    SIGNED,
    SPACES,
    Range,
    SubPolicy,
)
from efn_compose.train.augment.policies.written import sub_policies

#: An operation's number per image, (image,) int32, and its strength, (image,) float32.
Drawn = tuple[tf.Tensor, tf.Tensor]


def drawn_steps(draws: Draws, policy: str) -> list[Drawn]:
    """Return what each image does, one step after another.

    Args:
        draws: The images' draws.
        policy: A name of `SPACES` or `AUTOAUGMENT`, or sub-policies written out.
    """
    if policy in SPACES:
        return [_trivial(draws, SPACES[policy])]
    return _sub_policies(draws, sub_policies(policy))


def _trivial(draws: Draws, space: Sequence[Range]) -> Drawn:
    """Return one operation per image at one of the levels, all alike probable."""
    row = _number(draws, "trivial_choice", len(space))
    level = tf.cast(_number(draws, "trivial_level", LEVELS), tf.float32) / (LEVELS - 1)
    low = tf.gather(tf.constant([r.weakest for r in space], tf.float32), row)
    high = tf.gather(tf.constant([r.strongest for r in space], tf.float32), row)
    strength = low + (high - low) * level
    operation = tf.gather(tf.constant([OPERATIONS.index(r.operation) for r in space]), row)
    is_bits = operation == OPERATIONS.index("posterize")
    strength = tf.where(is_bits, tf.round(strength), strength)
    return operation, _either_way(draws, "trivial_sign", operation, strength)


def _sub_policies(draws: Draws, table: Sequence[SubPolicy]) -> list[Drawn]:
    """Return the steps of one sub-policy per image; a step that does not happen is "identity"."""
    row = _number(draws, "policy_choice", len(table))
    found = []
    for slot in range(len(table[0])):
        steps = [sub_policy[slot] for sub_policy in table]
        numbers = tf.constant([OPERATIONS.index(name) for name, _, _ in steps])
        chances = tf.constant([chance for _, chance, _ in steps], tf.float32)
        strengths = tf.constant([strength for _, _, strength in steps], tf.float32)
        happens = draws.uniform(f"policy_{slot}")[:, 0] < tf.gather(chances, row)
        operation = tf.where(happens, tf.gather(numbers, row), 0)
        strength = tf.gather(strengths, row)
        found.append((operation, _either_way(draws, f"policy_sign_{slot}", operation, strength)))
    return found


def _number(draws: Draws, purpose: str, count: int) -> tf.Tensor:
    return tf.cast(draws.uniform(purpose)[:, 0] * count, tf.int32)


def _either_way(draws: Draws, purpose: str, operation: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Turn the strength of half of the images round, where the operation has two ways."""
    has_two = tf.constant([name in SIGNED for name in OPERATIONS])
    turns = draws.happens(purpose, 0.5) & tf.gather(has_two, operation)
    return tf.where(turns, -strength, strength)
