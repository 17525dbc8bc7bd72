"""`efn-compose train`: train networks from a weight file and images.

Pixels are scaled as the donors want them, the head is one layer, and all layers learn. Several
folds, seeds and networks make a matrix of trainings on all cores, ranked at the end. A killed run
goes on with the same command and --resume.
"""

import argparse
from typing import TYPE_CHECKING

from efn_compose.cli.shared.arguments import (
    ADDRESS,
    SOURCES,
    add_relay,
    add_run_arguments,
    refuse_resumed_dry_run,
    settings_given,
)
from efn_compose.cli.shared.images import add_table_arguments, table_settings
from efn_compose.cli.shared.output import Output

if TYPE_CHECKING:
    from efn_compose.jobs.trainings.preparation import PreparedTrainings

EXAMPLE = (
    "efn-compose train --weights efn_magic_weights.h5 --data folder:photos --size 128 "
    "--folds 5 --seeds 3 -o runs/photos"
)
ON_INTERRUPT = (
    "stopped; every finished epoch is in the run folder. The same command with --resume goes on."
)
#: Flags that stand for settings: the setting, the name of its value, the help text.
_FLAGS = {
    "weights": ("weights.file", "FILE", "weight file of any library, or package:NAME"),
    "data": (
        "data.source",
        "SOURCE",
        SOURCES,
    ),
    "task": ("objective.kind", "TASK", "classify, or segment: a class for every pixel"),
    "masks": ("data.masks", "PATTERN", "path of a mask, * for its image: ../masks/*_mask.png"),
    "size": ("data.size", "N", "pixels, height and width"),
    "variants": ("weights.variants", "A,B", "networks; larger ones get the weights nested"),
    "folds": ("validation.folds", "N", "each validates once; with 1, a fifth of the images"),
    "seeds": ("validation.seeds", "N", "trainings per network and fold"),
    "epochs": ("train.epochs", "N", "passes over the images"),
    "batch-size": ("train.batch_size", "N", "images per batch"),
    "learning-rate": ("train.learning_rate", "X", "highest rate"),
    "semi": ("semi.method", "METHOD", "noisy-student or mean-teacher: use unlabelled images"),
    "unlabelled": ("semi.unlabelled", "SOURCE", "images for --semi; folder:PATH needs no classes"),
    "workers": ("executor.workers", "N", "trainings at once; default: one per core"),
    "address": ADDRESS,
    "output": ("run.path", "FOLDER", "run folder, default: runs/ and the configuration's name"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_run_arguments(
        parser,
        _FLAGS,
        dry_run="print all settings, the trainings and the quality of the folds, then stop",
        overrides="change any setting; --dry-run lists all",
    )
    add_relay(parser)
    add_table_arguments(parser)
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Train, or say what would be trained."""
    from efn_compose.jobs.trainings.job import train
    from efn_compose.jobs.trainings.preparation import prepare_trainings

    refuse_resumed_dry_run(options)
    overrides = [*settings_given(options, _FLAGS), *table_settings(options), *options.overrides]
    if options.dry_run:
        _describe(
            prepare_trainings(options.config, overrides, show_progress=not output.is_silent), output
        )
        return
    if options.parcel or options.hours:
        from efn_compose.cli.shared.legs import make_leg

        make_leg("train", options.config, overrides, options, options.hours, output)
        return
    summary = train(options.config, overrides, resume=options.resume, quiet=output.is_silent)
    from efn_compose.jobs.trainings.leaderboard import leaderboard_json

    fields = {
        "folder": str(summary.folder),
        "weights": str(summary.weights),
        "predictions": str(summary.predictions),
        "leaderboard": leaderboard_json(summary.leaderboard),
        "assessment": summary.assessment,
    }
    places = "\n".join(f"  {name:<12} {fields[name]}" for name in ("weights", "predictions"))
    output.result(fields, f"{summary}\n{places}")


def _describe(prepared: "PreparedTrainings", output: Output) -> None:
    from efn_compose.config import dump_toml
    from efn_compose.jobs.trainings.preparation import memory_plan

    specs = [donor.spec for donor in prepared.donors.values()]
    plan = memory_plan(prepared.config, specs, len(prepared.images.table))
    cells = [cell.name for cell in prepared.cells]
    quality = str(prepared.images.folds.quality)
    notes = list(prepared.images.warnings())
    text = dump_toml(prepared.config, with_help=True)
    fields = {
        "config": text,
        "folder": str(prepared.folder),
        "trainings": cells,
        "plan": plan.to_json(),
        "images": len(prepared.images.table),
        "quality": quality,
        "duplicates": len(prepared.images.duplicates),
        "notes": notes,
    }
    output.result(
        fields,
        f"{text}\nrun folder    {prepared.folder}\nimages        {fields['images']}\n"
        f"{plan}\n"
        f"duplicates    {fields['duplicates']} pairs in different folds\n"
        f"{''.join(f'note          {note}{chr(10)}' for note in notes)}"
        f"trainings     {len(cells)}: {', '.join(cells[:6])}{', …' if len(cells) > 6 else ''}\n\n"
        f"{quality}\nNothing was written.",
    )
