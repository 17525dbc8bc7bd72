"""The public faces of the converters, and what the rest of the package asks of them."""

from typing import TYPE_CHECKING

from converters import convert as convert
from converters import export as export
from converters import inspect as inspect
from converters.reading.recognition import chosen_dialect

if TYPE_CHECKING:
    from efn_compose.checkpoints.containers.raw import RawCheckpoint
    from efn_compose.checkpoints.dialects.dialect import Dialect


def recognise(raw: "RawCheckpoint") -> "Dialect":
    """Return the one dialect whose names a checkpoint, or a model described as one, has."""
    return chosen_dialect(raw, None)
