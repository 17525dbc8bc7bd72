"""Donors that a run makes once: kept in its folder, found again by a hash of their origin."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efn_compose.donors import Donor, load_donor
from efn_compose.errors import CheckpointError


def key_of(made_from: Sequence[Any]) -> str:
    """Return a hash of everything that a donor was made from: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def path_of(folder: Path, donor: Donor, made_from: Sequence[Any]) -> Path:
    """Return the file of a donor; its name holds a hash of the donor's origin."""
    return folder / f"{donor.name}-{key_of(made_from)[:16]}.h5"


def kept_donor(path: Path, name: str) -> Donor | None:
    """Return the donor of a file under a name; None if it was not made yet, or is not whole."""
    try:
        return load_donor(path).replace(name=name)
    except CheckpointError:
        return None
