"""Values from a run's files, checked before they are drawn.

A run folder can be edited, damaged, or from another version. What does not fit is left out
and named, so that the rest can still be drawn.
"""

import math
from collections.abc import Mapping
from typing import Any

from efn_compose.compose import Recipe

#: Donors are numbered in 8 bits, and the last number is never used.
DONOR_LIMIT = 255
#: No network has more channels, images more pixels or a class more images than this.
_LIMIT = 10**9
_CHANNEL_LIMIT = 10**6
_PARTS = ("train", "validation", "test")


def finite(value: object) -> float:
    """Return a finite number.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, received {value!r}")
    if not math.isfinite(value) or abs(value) > 1e300:
        raise ValueError(f"expected a finite number, received {value!r}")
    return value


def gene(value: object, kind: object) -> float:
    """Return a gene, which numbers one of at most 255 donors, or the weight of an average.

    Raises:
        ValueError: It is neither.
    """
    if kind == "genome" and not is_donor(value):
        raise ValueError(f"expected a donor number, received {value!r}")
    return finite(value)


def recipe_values(recipe: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the genes or weights of a stored recipe.

    Raises:
        ValueError: One is neither.
        KeyError, TypeError: It is no recipe.
    """
    values = Recipe.stored_values(recipe)
    # Thousands of genes have few values; True is no 1.
    for _, value in {(type(value), value) for value in values}:
        gene(value, recipe["kind"])
    return tuple(values)


def is_donor(value: Any) -> bool:
    """Return whether a value can number a donor."""
    return _is_count(value) and value < DONOR_LIMIT


def checked_data(found: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return `data.json` without what does not fit.

    Args:
        found: What the file holds.
        problems: What was left out is appended here.
    """
    names, counts, size = found.get("class_names"), found.get("counts"), found.get("size")
    wrong = []
    if names is not None and not isinstance(names, list):
        wrong.append("class_names")
    if counts is not None and not _are_counts(counts):
        wrong.append("counts")
    if size is not None and not _is_count(size):
        wrong.append("size")
    return _without(found, wrong, "data.json", problems)


def checked_result(found: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return `result.json` without what does not fit.

    Args:
        found: What the file holds.
        problems: What was left out is appended here.
    """
    wrong = []
    recipe = found.get("recipe")
    if recipe is not None and not _is_recipe(recipe):
        wrong.append("recipe")
    seconds = found.get("seconds")
    if seconds is not None and not (
        isinstance(seconds, dict) and all(_is_number(value) for value in seconds.values())
    ):
        wrong.append("seconds")
    arms = found.get("arms")
    if arms is not None and not (
        isinstance(arms, dict) and all(_is_arm(scores) for scores in arms.values())
    ):
        wrong.append("arms")
    return _without(found, wrong, "result.json", problems)


def check_spec_fields(fields: Mapping[str, Any]) -> None:
    """Check the numbers of a stored network before a table of its tensors is made.

    Raises:
        ValueError: One is no channel count, stride, kernel or number of a block.
        KeyError: One is missing.
    """
    widths = [fields["stem_channels"], fields["top_channels"] or 1]
    for block in fields["blocks"]:
        for name in ("stage", "repeat", "kernel", "stride", "in_channels", "mid_channels"):
            widths.append(block[name])
        widths += [block["out_channels"], block["se_channels"] or 1]
    wrong = [value for value in widths if not (_is_count(value) and 0 < value < _CHANNEL_LIMIT)]
    if wrong or not fields["blocks"]:
        raise ValueError(f"expected channel counts, received {wrong[:3]!r}")
    if not isinstance(fields["variant"], str):
        raise ValueError(f"expected the name of a variant, received {fields['variant']!r}")


def _without(
    found: Mapping[str, Any], wrong: list[str], file: str, problems: list[str]
) -> dict[str, Any]:
    if wrong:
        problems.append(f"{file}: {', '.join(wrong)} cannot be read and is left out.")
    return {key: value for key, value in found.items() if key not in wrong}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT


def _is_number(value: object) -> bool:
    try:
        finite(value)
    except (ValueError, OverflowError):
        return False
    return True


def _are_counts(counts: object) -> bool:
    return isinstance(counts, dict) and all(
        isinstance(counts.get(part), list) and all(_is_count(value) for value in counts[part])
        for part in _PARTS
        if part in counts
    )


def _is_recipe(recipe: object) -> bool:
    if not isinstance(recipe, dict):
        return False
    try:
        recipe_values(recipe)
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return True


def _is_arm(scores: object) -> bool:
    return isinstance(scores, dict) and all(
        isinstance(values, list) and all(_is_number(value) for value in values)
        for values in scores.values()
    )
