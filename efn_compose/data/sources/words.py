"""Words of a column that say nothing, and words that are one number."""

import re
from collections.abc import Iterable

#: What pandas, numpy, R and Excel write where a label is missing; letter case does not count.
MISSING = ("nan", "<na>", "nat", "#n/a", "n/a", "null")
#: R's word for it, too, which may be a class: of patients it is no name.
NO_PATIENT = (*MISSING, "na")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


def says_nothing(word: str, what: str = "label") -> bool:
    """Return whether a word stands for a missing label or patient.

    Args:
        word: As it was read.
        what: "label" or "patient".

    Example:
        >>> says_nothing("NaN"), says_nothing("NA"), says_nothing("NA", "patient")
        (True, False, True)
    """
    return not word or word.lower() in (NO_PATIENT if what == "patient" else MISSING)


def twins(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of words that are one number and would be two classes or patients.

    Example:
        >>> twins(["2", "2.0", "3", "03", "a"])
        [('2', '2.0'), ('3', '03')]
    """
    by_value: dict[float, str] = {}
    pairs = []
    for word in dict.fromkeys(words):
        if _NUMBER.fullmatch(word):
            first = by_value.setdefault(float(word), word)
            pairs += [(first, word)] if first != word else []
    return pairs


def twin_problem(what: str, one: str, other: str) -> str:
    """Return the sentence about two words that are one number.

    Args:
        what: "label" or "patient".
        one: The first word.
        other: The second word.
    """
    two = "classes" if what == "label" else f"{what}s"
    return (
        f"the {what}s {one!r} and {other!r} are one number and would be two {two}: write both alike"
    )
