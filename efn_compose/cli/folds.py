"""`efn-compose folds`: cut a data set into folds that are alike.

No patient is in two folds. Folds are alike in the share of each class, in the patients that have
it, and in the images per patient. The command prints how alike they are, and lists images that
lie in two folds.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from efn_compose.cli.shared.arguments import SOURCES, add_output, add_seed
from efn_compose.cli.shared.images import add_table_arguments, read_table
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    from efn_compose.jobs.folds import FoldedTable

EXAMPLE = "efn-compose folds csv:lesions.csv --count 5 --weights b0.h5 -o folds.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help=SOURCES,
    )
    add_table_arguments(parser)
    add_output(
        parser,
        "write the fold of each image; quality and duplicates go beside it, as .json",
        metavar="FILE.csv",
    )
    parser.add_argument("--count", type=int, default=5, help="folds, default: %(default)s")
    add_seed(parser, "seed that breaks ties")
    parser.add_argument(
        "--worst-rate",
        type=float,
        metavar="V",
        help="fail if a class's share varies more over folds (standard deviation / mean)",
    )
    parser.add_argument(
        "--worst-size-distance",
        type=float,
        metavar="D",
        help="fail if images per patient differ more (Kolmogorov distance)",
    )
    parser.add_argument(
        "--duplicates",
        choices=("report", "join", "refuse"),
        default="report",
        help="list images that are in two folds, keep equal images in one fold, or fail; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="also compare images by this network's features (weight file or package:NAME)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.98,
        help="smallest cosine of features that counts as equal, default: %(default)s",
    )
    parser.add_argument(
        "--size", type=int, default=64, help="pixels for --weights, default: %(default)s"
    )
    parser.add_argument(
        "--skip-unreadable",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out images that cannot be decoded, up to this share; default: refuse them",
    )


def run(options: argparse.Namespace, output: Output) -> None:
    """Cut, measure, look for duplicates, write."""
    from efn_compose.jobs.folds import cut_folds
    from efn_compose.store.atomic import refuse_to_replace

    _check(options)
    if options.output:
        refuse_to_replace(Path(options.output), Path(options.source.partition(":")[2]).expanduser())
    found = cut_folds(
        read_table(options.source, options, output),
        options.count,
        seed=options.seed,
        worst_rate=options.worst_rate,
        worst_size_distance=options.worst_size_distance,
        skip_unreadable_share=options.skip_unreadable,
        duplicates=options.duplicates,
        weights=options.weights,
        threshold=options.threshold,
        size=options.size,
        note=output.note,
        show_progress=not output.is_quiet,
    )
    if options.output:
        found.save(options.output)
    text = [str(found.folds.quality), *_notes(options, found), *found.duplicate_lines()]
    output.result(found.to_json(), "\n".join(text))


def _notes(options: argparse.Namespace, found: "FoldedTable") -> list[str]:
    from efn_compose.analysis.reading.figures import count

    notes = []
    if found.left_out:
        notes.append(f"{len(found.left_out)} images cannot be decoded and were left out:")
        notes += found.left_out_lines()
    if options.duplicates == "join":
        notes.append(f"{count(found.joined, 'pair')} of equal images, kept together")
    how = "pixels or features" if options.weights else "pixels"
    hint = "; --duplicates join keeps them together" if found.across else ""
    notes.append(
        f"{count(len(found.across), 'pair')} of images with equal {how} in two folds{hint}"
    )
    return notes + list(found.contradictions)


def _check(options: argparse.Namespace) -> None:
    problems = []
    if options.count < 2:
        problems.append(f"--count must be 2 or more, not {options.count}")
    if not -1 <= options.threshold <= 1:
        problems.append(f"--threshold must be a cosine, -1 to 1, not {options.threshold}")
    if not 8 <= options.size <= 2048:
        problems.append(f"--size must be 8 to 2048, not {options.size}")
    if not 0 <= options.skip_unreadable <= 1:
        problems.append(f"--skip-unreadable must be 0 to 1, not {options.skip_unreadable}")
    if options.output and Path(options.output).suffix != ".csv":
        problems.append(f"--output must end in .csv, not {Path(options.output).name!r}")
    if problems:
        raise ConfigError("; ".join(problems) + ".")
