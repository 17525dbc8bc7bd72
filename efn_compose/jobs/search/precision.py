"""The precision of a run whose configuration leaves it to the device (`device.precision = "auto"`).

Scores of different precisions do not compare, so a run has one: that of the device it began on. It stands
in the run folder, since a run may go on on another device.
"""

import dataclasses
import json

from efn_compose.errors import RunError
from efn_compose.store import RunFolder
from efn_compose.train.engine.options import (
    PRECISIONS,
    DeviceOptions,
    best_precision,
    can_compute,
)

#: Of a run folder: what the run computes with.
DEVICE_FILE = "device.json"


def begun_precision(folder: RunFolder, options: DeviceOptions) -> DeviceOptions:
    """Return the options with the precision that a run began with, where its folder says so.

    Args:
        folder: The run's.
        options: Of the configuration. A precision that they name stays.

    Raises:
        RunError: The folder's file is damaged.
    """
    path = folder.path / DEVICE_FILE
    if options.precision != "auto" or not path.exists():
        return options
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["precision"]
        is_known = kept in PRECISIONS
    except (OSError, ValueError, KeyError, TypeError):
        is_known = False
    if not is_known:
        raise RunError(
            f"{path}: damaged. It says what the run computes with. Allowed: "
            f"{', '.join(PRECISIONS)}. Restore it; for a run that began on processors it is "
            '{"device": "cpu", "precision": "float32"}.'
        )
    return dataclasses.replace(options, precision=kept)


def keep_precision(folder: RunFolder, options: DeviceOptions, device: str) -> None:
    """Write what the workers compute with into the run folder; the first device decides.

    Args:
        folder: The run's.
        options: As `begun_precision` returned them.
        device: Of the workers: "cpu", "gpu" or "tpu".

    Raises:
        RunError: The device cannot compute with the precision.
    """
    precision = best_precision(device) if options.precision == "auto" else options.precision
    if not can_compute(device, precision):
        raise RunError(
            f"{folder.path}: this run computes in {precision}, and a {device.upper()} does not. "
            "Go on where it began, or on processors (--set executor.device=cpu). A new run may set "
            f"device.precision={best_precision(device)}."
        )
    if options.precision == "auto":
        folder.write_json(DEVICE_FILE, {"device": device, "precision": precision})
