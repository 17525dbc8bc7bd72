"""`efn-compose inspect`: describe a file, or compare two.

For our own weight files: network, conventions, provenance and recipe. For checkpoints of other
libraries: the result of `convert`, and the options that it would need. Values are read only to
compare two files, tensor by tensor, and to draw them.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from efn_compose.analysis.plot_file import check_plot
from efn_compose.analysis.weights.description import describe_weight_file
from efn_compose.analysis.weights.weight_comparison import compare_weights
from efn_compose.cli.shared.checkpoint_options import add_checkpoint_options, checkpoint_options
from efn_compose.cli.shared.output import Output
from efn_compose.donors import Donor, load_donor
from efn_compose.errors import ConfigError
from efn_compose.store.atomic import atomic_path
from efn_compose.store.weights.weight_file import is_weight_file

#: Entries of a list that people are shown: a run has dozens of networks among its donors.
_MOST = 4
EXAMPLE = "efn-compose inspect efn_magic_weights.h5 b0.h5 --plot weights.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", help="weight file, checkpoint, or package:NAME")
    parser.add_argument("other", nargs="?", help="a second file: list the differences")
    parser.add_argument(
        "--plot",
        metavar="PICTURE",
        help="draw stem filters, BatchNorm statistics, kernel scales and differences "
        "(.png, .svg or .pdf)",
    )
    add_checkpoint_options(parser)


def run(options: argparse.Namespace, output: Output) -> None:
    """Describe the file, and its differences to a second one."""
    if options.plot:
        check_plot(options.plot)
    files = [options.file] if options.other is None else [options.file, options.other]
    _refuse_unread_options(files, options)
    if options.other is None:
        fields, text = _described(options)
    else:
        donors = _donors(files, options)
        found = compare_weights(*donors)
        fields = {"first": files[0], "second": files[1], **found.to_json()}
        text = f"{files[0]}\n{files[1]}\n{found.words()}"
    if options.plot:
        _write_plot(options.plot, *(donors if options.other else _donors(files, options)))
        fields["plot"] = options.plot
        text += f"\n{options.plot}"
    output.result(fields, text)


def _refuse_unread_options(files: list[str], options: argparse.Namespace) -> None:
    """Refuse options that say how to read a checkpoint, where all files say so themselves."""
    given = {
        "--dialect": options.dialect,
        "--arch": options.arch,
        "--raw": options.raw,
        "--prefix": options.prefix,
        "--channels": options.channels,
        "--accept": options.accept,
    }
    named = [flag for flag, value in given.items() if value]
    if named and all(map(is_weight_file, files)):
        raise ConfigError(
            f"{', '.join(named)}: without effect on a weight file of efn_compose, which says itself "
            f"what it holds. Received: {', '.join(files)}. Leave out what is named first."
        )


def _described(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return the description of one file, for machines and for people."""
    if is_weight_file(options.file):
        fields = describe_weight_file(options.file)
    else:
        from efn_compose.conversion import inspect

        fields = inspect(options.file, **checkpoint_options(options))
    # The block list is for machines; people get its summary.
    shown = {key: value for key, value in fields.items() if key != "arch"}
    return fields, f"{options.file}\n" + "\n".join(_lines(shown, "  "))


def _donors(files: list[str], options: argparse.Namespace) -> list[Donor]:
    """Return the weights of files of any source, each as it is."""
    from efn_compose.conversion import convert

    return [
        load_donor(file)
        if is_weight_file(file)
        else convert(file, **checkpoint_options(options)).donor
        for file in files
    ]


def _write_plot(path: str, *donors: Donor) -> None:
    """Draw weights into a file, whole or not at all."""
    from efn_compose.analysis.weights.weight_plots import plot_weights

    figure = plot_weights(*donors)
    with atomic_path(path) as partial:
        figure.savefig(partial, format=Path(path).suffix[1:], dpi=110)


def _lines(value: Any, indent: str) -> list[str]:
    """Return nested JSON values as indented lines."""
    lines = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        label = f"{indent}{key}: " if isinstance(value, dict) else f"{indent}- "
        if (isinstance(item, dict) and item) or (
            isinstance(item, list | tuple) and any(isinstance(i, dict | list) for i in item)
        ):
            few = item if isinstance(item, dict) or len(item) <= _MOST else item[:_MOST]
            lines += [label.rstrip(), *_lines(few, indent + "  ")]
            if len(few) < len(item):
                lines.append(f"{indent}  … {len(item) - len(few)} more; --json lists all")
        elif isinstance(item, list | tuple):
            lines.append(label + (", ".join(str(i) for i in item) or "none"))
        elif isinstance(item, int) and not isinstance(item, bool):
            lines.append(f"{label}{item:,}")
        else:
            lines.append(label + ("none" if item in (None, {}) else _short(str(item))))
    return lines


def _short(text: str) -> str:
    """Return a text, of numbers in base64 the beginning alone."""
    is_packed = re.fullmatch(r"[A-Za-z0-9+/=]{100,}", text)
    return f"{text[:16]}… ({len(text):,} characters)" if is_packed else text
