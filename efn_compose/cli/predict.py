"""`efn-compose predict`: a table of probabilities for new images.

One or many networks are asked about each image, and their probabilities are averaged. A run folder
of `efn-compose train` stands for all its networks; each is asked with the size, the scaling and the
views of its training. Images may have labels or none; labels are not looked at. Memory stays the
same however many images there are. Where the networks are U-Nets, `-o` is a folder: a mask for each image.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from efn_compose.cli.shared.arguments import add_dry_run, add_output
from efn_compose.cli.shared.images import add_table_arguments
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    from efn_compose.evolve.options import ExecutorOptions
    from efn_compose.jobs.predictions.job import PredictionSummary, PreparedPrediction

EXAMPLE = "efn-compose predict runs/photos --data folder:photos --tta 8 -o predictions.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "networks",
        nargs="+",
        metavar="RUN_OR_FILE",
        help="run folders of trainings, and weight files with a classifier",
    )
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        required=True,
        help="images of any source, such as folder:PATH",
    )
    add_table_arguments(parser)
    add_output(
        parser, "the table to write, .csv or .parquet; of U-Nets a new folder", required=True
    )
    parser.add_argument(
        "--size", type=int, default=0, metavar="N", help="pixels; default: as each was trained"
    )
    parser.add_argument(
        "--tta",
        type=int,
        metavar="N",
        help="views of each image: 1, 2, 4, 8 are flips and turns, others draws of the training's "
        "augmentation; default: the views of each training",
    )
    parser.add_argument(
        "--temperature",
        action="store_true",
        help="divide logits by the temperature that suits the out-of-fold predictions best",
    )
    parser.add_argument(
        "--threshold",
        metavar="X",
        default="",
        help="two classes: the least probability of the second class that predicts it: a number, or "
        "youden or sensitivity=0.95, which are measured on the out-of-fold predictions",
    )
    parser.add_argument(
        "--submission",
        metavar="TEMPLATE",
        default="",
        help="a competition's CSV to fill; submission.csv is written beside the table",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that share the images, each with one thread; default: this one, with all",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        default="",
        help="a running Ray cluster, whose workers predict",
    )
    add_dry_run(parser, "check everything, say what would be done, and stop")


def run(options: argparse.Namespace, output: Output) -> None:
    """Predict, or say what would be predicted."""
    from efn_compose.jobs.predictions.job import prepare_prediction, write_prediction
    from efn_compose.jobs.predictions.masks import find_unets

    if find_unets(options.networks):
        _predict_masks(options, output)
        return
    prepared = prepare_prediction(
        options.networks,
        options.data,
        Path(options.output),
        columns=options.columns,
        folder=options.image_folder,
        size=options.size,
        tta=options.tta,
        temperature=options.temperature,
        threshold=options.threshold,
        submission=options.submission,
        executor=_executor(options),
    )
    for note in prepared.notes:
        output.note(note)
    if options.dry_run:
        _describe(prepared, output)
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=Console(stderr=True, quiet=output.is_silent), transient=True
    ) as progress:
        task = progress.add_task("Images", total=len(prepared.table))
        summary = write_prediction(
            prepared, lambda count: progress.advance(task, count), output.note
        )
    output.result(_fields(summary), _text(summary))


def _predict_masks(options: argparse.Namespace, output: Output) -> None:
    """Draw a mask for each image: the networks are U-Nets."""
    from efn_compose.jobs.predictions.masks import predict_masks

    unread = {
        "--temperature": options.temperature,
        "--submission": options.submission,
        "--workers": options.workers != 1,
        "--address": options.address,
    }
    given = [flag for flag, value in unread.items() if value]
    if given or options.dry_run:
        given += ["--dry-run"] * options.dry_run
        raise ConfigError(f"{', '.join(given)}: these networks draw masks, which has no such flag.")
    try:
        threshold = float(options.threshold) if options.threshold else None
    except ValueError:
        raise ConfigError(
            f"--threshold of masks is a probability from 0 to 1. Received: {options.threshold!r}."
        ) from None
    found = predict_masks(
        options.networks,
        options.data,
        options.output,
        columns=options.columns,
        folder=options.image_folder,
        size=options.size,
        tta=options.tta,
        threshold=threshold,
    )
    for words in found.notes:
        output.note(words)
    fields = {
        "folder": str(found.folder),
        "images": found.images,
        "networks": list(found.networks),
        "threshold": found.threshold,
        "foreground": found.foreground,
    }
    output.result(
        fields,
        f"{found.folder}: {found.images:,} masks by {len(found.networks)} networks, "
        f"{found.foreground:.1%} of all pixels are not background",
    )


def _executor(options: argparse.Namespace) -> "ExecutorOptions | None":
    from efn_compose.evolve.options import ExecutorOptions

    if options.workers < 0:
        raise ConfigError(f"--workers must be 0 or more. Received: {options.workers}.")
    if options.workers == 1 and not options.address:
        return None
    return ExecutorOptions(kind="ray", workers=options.workers, address=options.address)


def _fields(summary: "PredictionSummary") -> dict[str, object]:
    return {
        "table": str(summary.table),
        "submission": None if summary.submission is None else str(summary.submission),
        "images": summary.images,
        "networks": list(summary.networks),
        "classes": list(summary.class_names),
        "counts": summary.counts,
        "spread": summary.spread,
        "threshold": summary.threshold,
        "temperatures": list(summary.temperatures),
        "notes": list(summary.notes),
    }


def _text(summary: "PredictionSummary") -> str:
    width = max(len(name) for name in summary.class_names)
    lines = [f"{summary.table}: {summary.images:,} images, {len(summary.networks)} networks"]
    lines += [f"  {name:<{width}}  {count:>8,}" for name, count in summary.counts.items()]
    lines.append(f"Mean spread over networks and views: {summary.spread:.4f}")
    if summary.submission is not None:
        lines.append(f"{summary.submission}: the filled template")
    return "\n".join(lines)


def _describe(prepared: "PreparedPrediction", output: Output) -> None:
    sizes = {network.name: network.size for network in prepared.networks}
    fields = {
        "images": len(prepared.table),
        "networks": sizes,
        "classes": list(prepared.class_names),
        "table": str(prepared.output),
    }
    networks = "\n".join(f"  {name}  {size} pixels" for name, size in sizes.items())
    output.result(
        fields,
        f"images    {fields['images']:,}\nclasses   {', '.join(prepared.class_names)}\n"
        f"networks  {len(prepared.networks)}\n{networks}\nNothing was written.",
    )
