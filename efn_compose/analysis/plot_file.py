"""Pictures that matplotlib draws: whether it is there, and where they may be written."""

import importlib.util
import os
from pathlib import Path

from efn_compose.errors import ConfigError, DataError
from efn_compose.store.atomic import check_writable

#: What pictures may be written as.
ENDINGS = (".png", ".svg", ".pdf")


def require_matplotlib() -> None:
    """Refuse to draw without matplotlib.

    Raises:
        DataError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise DataError(
            'Pictures need matplotlib: pip install "efn_compose[plots]". Without --plot nothing needs it.'
        )


def check_plot(path: str | os.PathLike[str]) -> None:
    """Refuse a place where no picture can be written, before anything is computed.

    Args:
        path: Of the picture; its ending says of which kind.

    Raises:
        ConfigError: The folder does not exist, or pictures have no such ending.
        DataError: matplotlib is not installed.
        RunError: There is no permission to write.

    Example:
        >>> check_plot("weights.gif")
        Traceback (most recent call last):
        efn_compose.errors.ConfigError: --plot must end in .png, .svg, .pdf. Received: 'weights.gif'.
    """
    if Path(path).suffix not in ENDINGS:
        raise ConfigError(
            f"--plot must end in {', '.join(ENDINGS)}. Received: {os.fspath(path)!r}."
        )
    require_matplotlib()
    check_writable("--plot", Path(path))
