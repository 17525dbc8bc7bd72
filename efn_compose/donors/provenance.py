"""A walk through a provenance, which holds those of the networks that weights were made of."""

from collections.abc import Iterator, Mapping
from typing import Any


def records(provenance: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping in a provenance, itself first, each before those within it.

    Args:
        provenance: JSON values; whatever is neither mapping nor list is passed over.

    Example:
        >>> [one["name"] for one in records({"name": "a", "donors": [{"name": "b"}, {"name": "c"}]})]
        ['a', 'b', 'c']
    """
    # No recursion: networks are put side by side any number of times.
    pending = [provenance]
    while pending:
        one = pending.pop()
        if isinstance(one, Mapping):
            yield one
            pending += reversed(list(one.values()))
        elif isinstance(one, list | tuple):
            pending += reversed(one)
