"""Checkpoints that a test has made in memory, converted as `convert` converts files."""

from converters.reading.conversion import Conversion, loaded
from converters.reading.matching import match_raw
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Dialect, Request


def convert_raw(raw: RawCheckpoint, dialect: Dialect, request: Request) -> Conversion:
    """Convert a checkpoint that is already open; see `convert`."""
    return loaded(match_raw(raw, dialect, request))
