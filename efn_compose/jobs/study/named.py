"""Functions that a study names, found without importing what trains."""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    import keras


def find_function(place: str) -> "Callable[[], keras.Model]":
    """Return the function that a place names; modules of the working directory are found, too.

    Args:
        place: "module:function".

    Raises:
        ConfigError: There is no such module or function.
    """
    module, _, name = place.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"study.networks: {place!r} cannot be found ({error}).") from None
    except Exception as error:  # Of the person's own module, where anything may go wrong.
        where = traceback.extract_tb(error.__traceback__)[-1]
        # What Python says of a wrong syntax has the line in it.
        line = (
            ""
            if isinstance(error, SyntaxError)
            else f" ({Path(where.filename).name}, line {where.lineno})"
        )
        raise ConfigError(
            f"study.networks: {module} cannot be imported: {type(error).__name__}, {error}{line}."
        ) from None
    if not callable(found):
        raise ConfigError(f"study.networks: {place!r} is no function. Received: {found!r}.")
    function: Callable[[], keras.Model] = found
    return function
