"""A run that has ended: its verdict is read, and nothing is computed again."""

import json
from pathlib import Path
from typing import Any

from efn_compose.arch import variant_name
from efn_compose.store.file_hash import file_sha256
from efn_compose.store.run_folder import RESULT_FILE


def finished_result(folder: Path, nest_into: str = "") -> dict[str, Any] | None:
    """Return the summary of a finished run; None if it has not ended or a file is missing.

    Args:
        folder: The run folder.
        nest_into: The network that the weights are nested into as well; empty for none.

    Returns:
        The content of `result.json`. The weight file that it names is there, byte for byte.

    Example:
        >>> finished_result(Path("runs/never_begun")) is None
        True
    """
    try:
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        weights = folder / str(result["weights"])
        expected = str(result["weights_sha256"])
        found = file_sha256(weights)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if found != expected:
        return None
    if nest_into and not nested_path(weights, nest_into).is_file():
        return None
    return dict(result)


def nested_path(weights: Path, nest_into: str) -> Path:
    """Return where the weights nested into a larger network are written.

    Args:
        weights: The weight file of the run.
        nest_into: The larger network, "b5".
    """
    return weights.with_name(f"{weights.stem}_{variant_name(nest_into)}.h5")
