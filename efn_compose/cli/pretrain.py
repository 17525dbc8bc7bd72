"""`efn-compose pretrain`: train a donor on images without labels.

The result is a donor of the same lineage. Monitors warn where its features collapse, or move far from
the donor's. With labelled images a verdict compares it with the donor absorbed on the same images. A
killed run goes on with the same command and --resume.
"""

import argparse
from typing import TYPE_CHECKING

from efn_compose.cli.shared.arguments import (
    ADDRESS,
    add_relay,
    add_run_arguments,
    refuse_resumed_dry_run,
    settings_given,
)
from efn_compose.cli.shared.output import Output

if TYPE_CHECKING:
    from efn_compose.jobs.pretraining.preparation import PreparedPretraining

EXAMPLE = (
    "efn-compose pretrain --weights lite0.h5 --unlabelled folder:photos --method vicreg --size 64 "
    "--epochs 10 -o runs/pretrained"
)
ON_INTERRUPT = (
    "stopped; every finished epoch is in the run folder. The same command with --resume goes on."
)
#: Flags that stand for settings: the setting, the name of its value, the help text.
_FLAGS = {
    "weights": ("weights.file", "FILE", "weight file of any library, or package:NAME"),
    "unlabelled": (
        "unlabelled.source",
        "SOURCE",
        "images to learn from; folder:PATH needs no classes",
    ),
    "data": (
        "labelled.source",
        "SOURCE",
        "labelled images for the verdict; without them there is none",
    ),
    "size": ("unlabelled.size", "N", "pixels, height and width"),
    "method": (
        "pretrain.methods",
        "A,B",
        "vicreg (default), simclr, byol, simsiam, rotation, autoencoder, colourisation, vqvae, gan, "
        "cyclegan; several side by side",
    ),
    "train": ("pretrain.learns", "WHAT", "all, or norm: BatchNorm's gamma and beta alone"),
    "seeds": ("pretrain.seeds", "N", "pretrainings per method"),
    "epochs": ("pretrain.epochs", "N", "passes over the images"),
    "batch-size": ("pretrain.batch_size", "N", "images per update"),
    "learning-rate": ("pretrain.learning_rate", "X", "highest rate"),
    "workers": ("executor.workers", "N", "pretrainings at once; default: one per core"),
    "address": ADDRESS,
    "output": ("run.path", "FOLDER", "run folder, default: runs/ and the configuration's name"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_run_arguments(
        parser,
        _FLAGS,
        dry_run="print all settings and the pretrainings, then stop",
        overrides="change any setting; --dry-run lists all",
    )
    add_relay(parser)
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Pretrain, or say what would be done."""
    from efn_compose.jobs.pretraining.job import pretrain
    from efn_compose.jobs.pretraining.preparation import prepare_pretraining

    refuse_resumed_dry_run(options)
    overrides = [*settings_given(options, _FLAGS), *options.overrides]
    if options.dry_run:
        prepared = prepare_pretraining(
            options.config, overrides, show_progress=not output.is_silent
        )
        _describe(prepared, output)
        return
    if options.parcel or options.hours:
        from efn_compose.cli.shared.legs import make_leg

        make_leg("pretrain", options.config, overrides, options, options.hours, output)
        return
    summary = pretrain(options.config, overrides, resume=options.resume, quiet=output.is_silent)
    fields = {
        "folder": str(summary.folder),
        "weights": str(summary.weights),
        "verdicts": {verdict.name: verdict.to_json() for verdict in summary.verdicts},
        "alarms": list(summary.alarms),
        "notes": list(summary.notes),
    }
    output.result(fields, f"{summary}\n  weights  {summary.weights}")


def _describe(prepared: "PreparedPretraining", output: Output) -> None:
    from efn_compose.config import dump_toml

    cells, images = [cell.name for cell in prepared.cells], prepared.images
    text = dump_toml(prepared.config, with_help=True)
    judged = 0 if images.labelled is None else len(images.labelled.labels)
    fields = {
        "config": text,
        "folder": str(prepared.folder),
        "pretrainings": cells,
        "unlabelled": len(images.unlabelled),
        "labelled": judged,
        "notes": prepared.notes,
    }
    output.result(
        fields,
        f"{text}\nrun folder    {prepared.folder}\nunlabelled    {fields['unlabelled']} images\n"
        f"labelled      {judged} images{'' if judged else ': there will be no verdict'}\n"
        f"pretrainings  {len(cells)}: {', '.join(cells)}\n"
        + "".join(f"note          {note}\n" for note in prepared.notes)
        + "Nothing was written.",
    )
