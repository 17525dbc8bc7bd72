"""`efn-compose folds`: cut a data set into folds that are alike.

No patient is in two folds. Folds are alike in the share of each class, in the patients that have
it, and in the images per patient. The command prints how alike they are, and lists images that
lie in two folds.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efn_compose.cli.shared.images import add_table_arguments, read_table
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError, DataError, describe_problems

if TYPE_CHECKING:
    import numpy as np

    from efn_compose.data import ImageTable
    from efn_compose.data.folding.duplicates import Duplicate

EXAMPLE = "efn-compose folds csv:lesions.csv --count 5 --weights b0.h5 -o folds.csv"
_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "source", metavar="SOURCE", help="digits, fashion_mnist, folder:PATH, npz:PATH or csv:PATH"
    )
    add_table_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE.csv",
        help="write the fold of each image; quality and duplicates go beside it, as .json",
    )
    parser.add_argument("--count", type=int, default=5, help="folds, default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="breaks ties, default: %(default)s")
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
    from efn_compose.data.folding.duplicates import join_duplicates
    from efn_compose.data.folding.folds import make_folds
    from efn_compose.data.unreadable import skip_unreadable

    _check(options)
    table, left_out = read_table(options.source, options), []
    is_loud = not output.is_quiet
    if options.skip_unreadable:
        table, left_out = skip_unreadable(
            table, at_most=options.skip_unreadable, show_progress=is_loud
        )
    pairs = _all_duplicates(table, options, output)
    cut = table
    if options.duplicates == "join" and pairs:
        together = [(pair.first, pair.second) for pair in pairs]
        groups = join_duplicates(table.groups, together, len(table))
        cut = replace(table, groups=groups, group_names=None)
    folds = make_folds(
        cut,
        options.count,
        seed=options.seed,
        worst_rate=options.worst_rate,
        worst_size_distance=options.worst_size_distance,
    )
    across = [pair for pair in pairs if folds.fold[pair.first] != folds.fold[pair.second]]
    lines = _duplicate_lines(table, across, folds.fold)
    if across and options.duplicates == "refuse":
        raise DataError(
            describe_problems(
                f"{table.name}: {len(across)} pairs of equal images are in two folds.",
                lines,
                "Remove one of each, or keep them together: --duplicates join.",
            )
        )
    fields = {
        "data": table.name,
        "folds": options.count,
        "seed": options.seed,
        "quality": asdict(folds.quality),
        "duplicates": [
            {
                "images": [table.image_name(pair.first), table.image_name(pair.second)],
                "folds": [int(folds.fold[pair.first]), int(folds.fold[pair.second])],
                "cosine": round(pair.cosine, 6),
            }
            for pair in across
        ],
        "joined": len(pairs) if options.duplicates == "join" else 0,
        "left_out": [image.reason for image in left_out],
    }
    if options.output:
        _write(Path(options.output), table, folds.fold, fields)
    text = [str(folds.quality), *_notes(options, left_out, pairs, across), *lines]
    output.result(fields, "\n".join(text))


def _all_duplicates(
    table: "ImageTable", options: argparse.Namespace, output: Output
) -> "list[Duplicate]":
    """Return pairs of equal images, before folds are made."""
    import numpy as np

    from efn_compose.data.decode import resize_images
    from efn_compose.data.folding.duplicates import (
        Duplicate,
        equal_pairs,
        pixel_digests,
        similar_across,
    )

    digests = pixel_digests(table.images, not output.is_quiet)
    found = [Duplicate(*pair) for pair in equal_pairs(digests)]
    if options.weights:
        from efn_compose.analysis.rank import pooled_features
        from efn_compose.jobs.search.preparation import load_donors

        donor = load_donors([options.weights])[0]
        every = np.arange(len(table))
        images = resize_images(table.images, every, options.size, not output.is_quiet)
        output.note(f"reading features of {len(images)} images with {donor.name}")
        features, _ = pooled_features(donor, images)
        # As many parts as images, so that every pair counts.
        similar = similar_across(features, every, options.threshold)
        known = {(pair.first, pair.second) for pair in found}
        found += [pair for pair in similar if not _is_known(pair, digests, known)]
    return found


def _is_known(pair: "Duplicate", digests: list[str], known: set[tuple[int, int]]) -> bool:
    """Whether a pair was found by its pixels, directly or through a third image."""
    return (pair.first, pair.second) in known or digests[pair.first] == digests[pair.second]


def _write(path: Path, table: "ImageTable", fold: "np.ndarray", fields: dict[str, Any]) -> None:
    import json

    from efn_compose.data.folding.fold_table import write_fold_table
    from efn_compose.store.atomic import write_text

    write_text(path.with_suffix(".json"), json.dumps(fields, indent=2, ensure_ascii=False))
    write_fold_table(table, fold, path)


def _duplicate_lines(
    table: "ImageTable", across: "list[Duplicate]", fold: "np.ndarray"
) -> list[str]:
    lines = [
        f"- {table.image_name(pair.first)} (fold {fold[pair.first]}) and "
        f"{table.image_name(pair.second)} (fold {fold[pair.second]}): "
        + ("equal pixels" if pair.cosine == 1.0 else f"cosine {pair.cosine:.4f}")
        for pair in across[:_LISTED]
    ]
    return lines + ([f"… and {len(across) - _LISTED} more"] if len(across) > _LISTED else [])


def _notes(options: argparse.Namespace, left_out: list, pairs: list, across: list) -> list[str]:
    notes = []
    if left_out:
        notes.append(f"{len(left_out)} images cannot be decoded and were left out:")
        notes += [f"- {image.reason}" for image in left_out[:_LISTED]]
    if options.duplicates == "join":
        notes.append(f"{len(pairs)} pairs of equal images were kept together")
    how = "pixels or features" if options.weights else "pixels"
    notes.append(f"{len(across)} pairs of images with equal {how} in two folds")
    return notes


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
