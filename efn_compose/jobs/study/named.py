"""Functions that a study names, found without importing what trains."""

import importlib
import sys
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
    if not callable(found):
        raise ConfigError(f"study.networks: {place!r} is no function. Received: {found!r}.")
    function: Callable[[], keras.Model] = found
    return function
