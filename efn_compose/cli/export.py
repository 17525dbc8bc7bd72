"""`efn-compose export`: write a weight file for another library.

The exported network computes the same. Where the library cannot express it, the export is refused with
every reason.
"""

import argparse
from pathlib import Path

from efn_compose.cli.shared.arguments import add_output
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose export efn_magic_weights.h5 --to timm -o lite1.safetensors"
TARGETS = (
    "timm",
    "torchvision",
    "lukemelas",
    "transformers",
    "safetensors",
    "keras-applications",
    "tf-keras",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", help="weight file (.h5)")
    parser.add_argument("--to", required=True, metavar="LIBRARY", help=", ".join(TARGETS))
    add_output(parser, ".safetensors, .pth or .h5 file, or a folder", required=True)
    parser.add_argument(
        "--accept-approximate",
        action="store_true",
        help="replace padding that the library cannot express, and report the change of the logits",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        help="pixels that a folder states, for which transformers fixes its padding: an even number",
    )


def run(options: argparse.Namespace, output: Output) -> None:
    """Write the file and say how to load it."""
    from efn_compose.conversion import export
    from efn_compose.donors import load_donor
    from efn_compose.store.atomic import refuse_to_replace

    # A file for Keras ends in .h5, too, and knows nothing of recipe, history and parts.
    refuse_to_replace(Path(options.output), options.file)
    report = export(
        load_donor(options.file),
        to=options.to,
        path=options.output,
        accept_approximate=options.accept_approximate,
        resolution=options.resolution,
    )
    fields = report.to_json()
    lines = [f"{fields['path']}: for {fields['target']}", f"  load:  {fields['load']}"]
    lines.append(f"  input: {fields['input']}")
    lines += [f"  folded exactly: {line}" for line in fields["folded"]]
    lines += [f"  approximate: {line}" for line in fields["approximations"]]
    output.result(fields, "\n".join(lines))
