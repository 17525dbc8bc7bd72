"""`efn-compose study`: train a grid of networks and settings, and say what is told apart.

A study is scaling (resolution x depth x width), methods (eight settings of trainings, as a fraction),
backbones (donors x data sets, with scores that need no training beside the result), or grid (the
axes that you name). The run folder gets table.csv and report.html. Combinations are compared on the
same data set, fold and seed. One is called best only where it is ahead of all others; otherwise the
page lists those that are tied. Each data set has a verdict of its own, too. A training that fails
is a row with its reason. A killed study goes on with the same command and --resume.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efn_compose.cli.shared.arguments import (
    ADDRESS,
    add_run_arguments,
    refuse_resumed_dry_run,
    settings_given,
)
from efn_compose.cli.shared.images import add_table_arguments, table_settings
from efn_compose.cli.shared.output import Output

if TYPE_CHECKING:
    from efn_compose.jobs.study.preparation import PreparedStudy

EXAMPLE = (
    "efn-compose study scaling --weights lite0.h5 --data folder:photos --size 64 --seeds 3 "
    "-o runs/scaling"
)
ON_INTERRUPT = (
    "stopped; every finished training is in the journal. The same command with --resume goes on."
)
#: Measured networks that the dry run names; with more of them it says how many.
_NAMED = 3
KINDS = ("scaling", "methods", "backbones", "grid")
#: Flags that stand for settings: the setting, the name of its value, the help text.
_FLAGS = {
    "weights": ("study.weights", "A,B", "donors: weight files of any library, or package:NAME"),
    "data": ("study.sources", "A,B", "images of any sources, such as folder:PATH"),
    "size": ("data.size", "N", "pixels, height and width, where resolution is no axis"),
    "folds": ("validation.folds", "N", "each validates once; with 1, a fifth of the images"),
    "seeds": ("validation.seeds", "N", "trainings per combination and fold"),
    "epochs": ("train.epochs", "N", "passes over the images"),
    "workers": ("executor.workers", "N", "trainings at once; default: one per core"),
    "address": ADDRESS,
    "output": ("run.path", "FOLDER", "run folder, default: runs/ and the configuration's name"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("kind", choices=KINDS, help="kind of the study")
    add_run_arguments(
        parser,
        _FLAGS,
        dry_run="print the design and the hours it will take, measured here, then stop",
        overrides="change any setting, such as study.widths=0.25,0.5",
    )
    add_table_arguments(parser)
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Make the study, or say what it would be."""
    from efn_compose.analysis.reading.study.words import to_json
    from efn_compose.jobs.study.job import study
    from efn_compose.jobs.study.preparation import prepare_study

    refuse_resumed_dry_run(options)
    given = [*settings_given(options, _FLAGS), *table_settings(options)]
    overrides = [f"study.kind={options.kind}", *given, *options.overrides]
    if options.dry_run:
        _describe(
            prepare_study(options.config, overrides, show_progress=not output.is_silent), output
        )
        return
    summary = study(options.config, overrides, resume=options.resume, quiet=output.is_silent)
    found = to_json(summary.view)
    fields = {
        "folder": str(summary.folder),
        "table": str(summary.table),
        "report": str(summary.report),
        **found,
    }
    places = "\n".join(f"  {name:<8} {fields[name]}" for name in ("table", "report"))
    tied = "".join(f"\n  {summary.view.name(number)}" for number in summary.view.lead.tied)
    lines = [*found["findings"], *(found["budget"] if summary.view.equal != "epochs" else ())]
    more = "".join(f"\n{words}" for words in lines)
    output.result(fields, f"{summary}{tied}{more}{_correlations(found)}\n{places}")


def _correlations(fields: dict[str, Any]) -> str:
    found = fields["correlations"]
    lines = [
        f"\n  {row['data']}: {row['score']} against the trained result, {row['donors']} donors: "
        + ("unknown (it takes six)" if row["correlation"] is None else f"{row['correlation']:+.2f}")
        for row in found
    ]
    return "".join(["\nrank correlation", *lines]) if lines else ""


def _epochs(prepared: "PreparedStudy", epochs: Sequence[int | None]) -> str:
    """Return how many epochs trainings get, where the budget decides that."""
    known = [count for count in epochs if count is not None]
    if prepared.config.study.equal == "epochs" or not known:
        return ""
    equal = prepared.config.study.equal
    return f"epochs        {min(known)} to {max(known)} for equal {equal}\n"


def _describe(prepared: "PreparedStudy", output: Output) -> None:
    from efn_compose.analysis.reading.figures import duration
    from efn_compose.analysis.reading.study.view import level_text
    from efn_compose.config import dump_toml
    from efn_compose.jobs.study.pacing.estimate import estimate_hours

    estimate = estimate_hours(prepared)
    # Every combination is trained on each data set.
    sets = prepared.data_sets
    combinations = len(prepared.points) // sets
    impossible = sum(bool(plan.problem) for plan in prepared.plans) // sets
    on_each = f" on each of {sets} data sets" if sets > 1 else ""
    text = dump_toml(prepared.config, with_help=True)
    fields = {
        "config": text,
        "folder": str(prepared.folder),
        "axes": {axis.name: list(axis.levels) for axis in prepared.axes},
        "combinations": combinations,
        "impossible": impossible,
        "trainings": len(prepared.cells),
        "hours": estimate.hours,
        "core_hours": estimate.core_hours,
        "epochs": list(estimate.epochs),
        "measured": list(estimate.measured),
        "notes": prepared.warnings,
    }
    axes = "\n".join(
        f"  {axis.name:<22} {', '.join(map(level_text, axis.levels))}" for axis in prepared.axes
    )
    names = list(dict.fromkeys(estimate.measured))
    measured = ", ".join(names) if len(names) <= _NAMED else f"all {len(names)} networks and sizes"
    output.result(
        fields,
        f"{text}\nrun folder    {prepared.folder}\naxes\n{axes}\n"
        f"combinations  {combinations}{on_each}, of which {impossible} are impossible\n"
        f"trainings     {len(prepared.cells)}\n{_epochs(prepared, estimate.epochs)}"
        f"time          about {duration(3600 * estimate.hours)}, measured on {measured}\n"
        + "".join(f"note          {note}\n" for note in prepared.warnings)
        + "Nothing was written.",
    )
