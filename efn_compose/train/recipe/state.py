"""Everything a training would lose if its process died, in one file."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.errors import ResumeMismatchError, RunError, describe_problems
from efn_compose.store.arrays import read_arrays, write_arrays

_TEXT = "state"


def write_state(
    path: str | os.PathLike[str],
    variables: Mapping[str, Sequence[Any]],
    arrays: Mapping[str, np.ndarray],
    text: Mapping[str, Any],
) -> None:
    """Write variables, arrays and JSON values; the old file stays until the new one is whole.

    Args:
        path: The file.
        variables: Keras or TensorFlow variables by group, in a fixed order.
        arrays: Further arrays by name.
        text: JSON values.
    """
    content = {f"array/{name}": values for name, values in arrays.items()}
    for group, members in variables.items():
        content |= {f"{group}/{n}": member.numpy() for n, member in enumerate(members)}
    content[_TEXT] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    write_arrays(path, content)


def read_state(
    path: str | os.PathLike[str],
    variables: Mapping[str, Sequence[Any]],
    identity: Mapping[str, str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Assign the variables of a state file; return its arrays and JSON values.

    Args:
        path: The file.
        variables: As given to `write_state`.
        identity: Hashes of the training; must equal "identity" in the file.

    Returns:
        None where there is no such file.

    Raises:
        RunError: The file is damaged.
        ResumeMismatchError: It is of another training, which differences are listed; nothing
            was assigned.
    """
    if not Path(path).exists():
        return None
    try:
        content = read_arrays(path)
    except RunError as error:
        raise RunError(f"{error} Remove it to begin this training anew.") from None
    if _TEXT not in content:
        raise RunError(f"{path}: no state of a training. Remove it to begin this training anew.")
    text = json.loads(content.pop(_TEXT).tobytes())
    differences = [
        f"- {key}: there {_short(text['identity'].get(key))}, now {_short(value)}"
        for key, value in identity.items()
        if text["identity"].get(key) != value
    ]
    if differences:
        raise ResumeMismatchError(
            describe_problems(
                f"{path}: of another training.",
                differences,
                "Restore these, or remove the file to begin anew.",
            )
        )
    arrays = {
        name.removeprefix("array/"): content.pop(name)
        for name in list(content)
        if name.startswith("array/")
    }
    places = {
        f"{group}/{number}": member
        for group, members in variables.items()
        for number, member in enumerate(members)
    }
    shapes = {name: tuple(member.shape) for name, member in places.items()}
    if shapes != {name: values.shape for name, values in content.items()}:
        raise ResumeMismatchError(
            f"{path}: of another network or optimizer. Remove it to begin this training anew."
        )
    for name, values in content.items():
        places[name].assign(values)
    return arrays, text


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
