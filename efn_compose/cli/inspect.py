"""`efn-compose inspect`: what a file is, without reading its values.

For our own weight files network, conventions, provenance and recipe; for other libraries'
checkpoints what `convert` would make of them, and what it would have to be told.
"""

import argparse
import json
from typing import Any

import numpy as np

from efn_compose.arch import parameter_count
from efn_compose.cli.output import Output

EXAMPLE = "efn-compose inspect efn_magic_weights.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", help="weight file, checkpoint, or package:NAME")
    parser.add_argument("--dialect", metavar="NAME", help="of a foreign checkpoint")
    parser.add_argument("--arch", help="what a foreign checkpoint's tensors cannot tell")


def run(options: argparse.Namespace, output: Output) -> None:
    """Say what the file is."""
    fields = _inspect_own(options.file)
    if fields is None:
        from efn_compose.conversion import inspect

        fields = inspect(options.file, dialect=options.dialect, arch=options.arch)
    # The block list is for machines; people get its summary.
    shown = {key: value for key, value in fields.items() if key != "arch"}
    output.result(fields, f"{options.file}\n" + "\n".join(_lines(shown, "  ")))


def _inspect_own(path: str) -> dict[str, Any] | None:
    """Return what one of our own files says of itself, None for any other file."""
    from efn_compose.store.weight_file import WeightFile, is_weight_file

    if not is_weight_file(path):
        return None
    with WeightFile(path) as file:
        header = file.header
        donor_map = file.read_donor_map()
    fields = json.loads(header.to_json())
    arch = fields.pop("arch")
    spec = header.spec
    return {
        "container": "efn_compose weight file",
        "variant": spec.variant,
        "family": spec.family,
        "stage_repeats": spec.stage_repeats,
        "stage_channels": spec.stage_channels,
        "stem_channels": spec.stem_channels,
        "top_channels": spec.top_channels,
        **fields,
        "parameters": parameter_count(spec, header.classes),
        "channels_by_donor": _channels_by_donor(donor_map),
        "arch": arch,
    }


def _channels_by_donor(donor_map: dict[str, np.ndarray]) -> dict[str, int]:
    """Return how many channels of composed weights come from each donor."""
    if not donor_map:
        return {}
    counts = np.bincount(np.concatenate(list(donor_map.values())))
    return {f"donor {number}": int(count) for number, count in enumerate(counts)}


def _lines(value: Any, indent: str) -> list[str]:
    """Return nested JSON values as indented lines."""
    lines = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        label = f"{indent}{key}: " if isinstance(value, dict) else f"{indent}- "
        if (isinstance(item, dict) and item) or (
            isinstance(item, list | tuple) and any(isinstance(i, dict | list) for i in item)
        ):
            lines += [label.rstrip(), *_lines(item, indent + "  ")]
        elif isinstance(item, list | tuple):
            lines.append(label + (", ".join(str(i) for i in item) or "none"))
        elif isinstance(item, int) and not isinstance(item, bool):
            lines.append(f"{label}{item:,}")
        else:
            lines.append(label + ("none" if item in (None, {}) else str(item)))
    return lines
