"""`efn-compose detach`: take the decoder off a U-Net; what is left is a donor like any other.

The encoder keeps what it learnt with the decoder. Without a training in between, the file has the bytes
that `attach` was given.
"""

import argparse

from efn_compose.cli.shared.arguments import add_output
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose detach unet.h5 --original b0.h5 -o encoder.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", metavar="FILE", help="weight file with a decoder")
    parser.add_argument(
        "--original", metavar="FILE", help="count the tensors that differ from this weight file"
    )
    add_output(parser, "the .h5 file to write", required=True)


def run(options: argparse.Namespace, output: Output) -> None:
    """Write the network below the decoder, and count its tensors."""
    from efn_compose.jobs.decoders import detach

    found = detach(options.file, options.output, original=options.original)
    fields = {
        "file": str(found.file),
        "variant": found.variant,
        "kept": found.kept,
        "left_out": found.left_out,
        "changed": None if found.changed is None else list(found.changed),
    }
    line = (
        f"{found.file}: {found.variant}, {found.kept} tensors kept, the {found.left_out} of the "
        "decoder left out"
    )
    if found.changed is not None:
        line += f"; {len(found.changed)} differ from {options.original}"
    output.result(fields, line)
