"""Policies that are written out: sub-policies of steps in physical units, as text and as a file.

A sub-policy is one step or two; a step is an operation, its probability and its strength. In text,
a comma stands between steps and a semicolon or a new line between sub-policies:

    rotate 0.6 15, contrast 0.4 0.45
    shift_x 1 0.1
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from efn_compose.errors import ConfigError, describe_problems
from efn_compose.train.augment.policies.tables import (
    AUTOAUGMENT,
    LIMITS,
    OPERATIONS,
    SPACES,
    Step,
    SubPolicy,
)

#: What `augment.auto` takes by name.
NAMES = ("none", *SPACES, *AUTOAUGMENT)
#: The second step of a sub-policy that has one.
REST: Step = ("identity", 0.0, 0.0)


def canonical_policy(text: str) -> str:
    """Return a policy's name as it is, or its sub-policies as text in one line.

    Args:
        text: A name, sub-policies written out, or the path of a policy file (.toml).

    Raises:
        ConfigError: None of these; all problems are listed.

    Example:
        >>> canonical_policy("rotate 0.60 15 , contrast .4 .45\\nshift_x 1 0.1")
        'rotate 0.6 15, contrast 0.4 0.45; shift_x 1 0.1'
    """
    text = text.strip()
    if text in NAMES:
        return text
    if text.endswith(".toml"):
        return canonical_policy(_read_file(Path(text).expanduser()))
    return policy_text(parse_policy(text))


def sub_policies(policy: str) -> tuple[SubPolicy, ...]:
    """Return the sub-policies of a published table or of a policy that is written out.

    Args:
        policy: A name of `AUTOAUGMENT`, or text.
    """
    return AUTOAUGMENT[policy] if policy in AUTOAUGMENT else parse_policy(policy)


def policy_text(policy: tuple[SubPolicy, ...], between: str = "; ") -> str:
    """Return sub-policies as text.

    Args:
        policy: The sub-policies.
        between: What stands between two of them.

    Example:
        >>> policy_text(((("rotate", 0.5, 30.0), REST),))
        'rotate 0.5 30'
    """
    return between.join(
        ", ".join(f"{name} {chance:g} {size:g}" for name, chance, size in _without_rest(steps))
        for steps in policy
    )


def _without_rest(steps: SubPolicy) -> Sequence[Step]:
    return steps[:1] if steps[1] == REST else steps


def parse_policy(text: str) -> tuple[SubPolicy, ...]:
    """Return the sub-policies of a text.

    Raises:
        ConfigError: It is no policy; all problems are listed.

    Example:
        >>> parse_policy("rotate 0.5 30; equalize 1 0")[1]
        (('equalize', 1.0, 0.0), ('identity', 0.0, 0.0))
    """
    found: list[SubPolicy] = []
    problems: list[str] = []
    lines = [line.strip() for line in text.replace("\n", ";").split(";")]
    for line in filter(None, lines):
        words = [step.split() for step in line.split(",")]
        if len(words) > 2:
            problems.append(f"- {line!r}: {len(words)} steps; allowed are 1 and 2")
        steps: list[Step] = []
        for step in words:
            problem = _problem(step)
            if problem:
                problems.append(f"- {' '.join(step)!r}: {problem}")
            else:
                steps.append((step[0], float(step[1]), float(step[2])))
        first, second, *_ = [*steps, REST, REST]
        found.append((first, second))
    if not found:
        problems.append("- no step is written")
    if problems:
        raise ConfigError(
            describe_problems(
                "No such augmentation policy.",
                problems,
                f"Allowed: {', '.join(NAMES)}, a policy file (.toml), or steps such as "
                "'rotate 0.6 15, contrast 0.4 0.45; shift_x 1 0.1' "
                "(operation, probability, strength).",
            )
        )
    return tuple(found)


def _problem(words: list[str]) -> str:
    """Return what is wrong with a step, "" if nothing is."""
    name = words[0] if words else ""
    if name not in OPERATIONS:
        return f"{name!r} is no operation; operations: {', '.join(OPERATIONS)}"
    try:
        chance, size = map(float, words[1:])
    except ValueError:
        return "expected operation, probability and strength"
    if not 0 <= chance <= 1:
        return f"the probability must be 0 to 1, not {words[1]}"
    low, high = LIMITS.get(name, (0.0, 0.0))
    if not low <= size <= high:
        return f"the strength of {name} must be {low:g} to {high:g}, not {words[2]}"
    return ""


def _read_file(path: Path) -> str:
    """Return the policy of a file: `auto` of its section [augment]."""
    try:
        policy = tomllib.loads(path.read_text(encoding="utf-8"))["augment"]["auto"]
    except OSError as error:
        raise ConfigError(
            f"auto: the policy file {path} cannot be read ({error.strerror})."
        ) from None
    except (ValueError, KeyError, TypeError):
        policy = None
    if not isinstance(policy, str) or policy.strip().endswith(".toml"):
        raise ConfigError(
            f"auto: {path} is no policy file. Expected a section [augment] with the key auto and "
            "a policy that is named or written out; `efn-compose policy` writes such files."
        )
    return policy
