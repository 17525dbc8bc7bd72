"""`efn-compose ensemble`: finished trainings to one submission.

The median of all networks is written first, as plan_b.csv. Another combination becomes the submission
only if it is ahead of the median by more than a standard error on outer folds, and if no column looks
as if it had leaked. With --until or --hours there is a finished submission at that time, made of what
is there. A killed job goes on with the same command and --resume.
"""

import argparse
import json
from typing import TYPE_CHECKING

from efn_compose.cli.shared.arguments import (
    ADDRESS,
    add_dry_run,
    add_overrides,
    add_resume,
    add_setting_flags,
    refuse_resumed_dry_run,
    settings_given,
)
from efn_compose.cli.shared.images import add_table_arguments, table_settings
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError
from efn_compose.settings.build import override_name

if TYPE_CHECKING:
    from efn_compose.jobs.ensembles.preparation import PreparedEnsemble

EXAMPLE = (
    "efn-compose ensemble runs/many --data folder:photos --measure accuracy -o runs/submission"
)
ON_INTERRUPT = (
    "stopped; plan_b.csv and every network's answers are in the run folder. The same command with "
    "--resume goes on."
)
#: Flags that stand for settings: the setting, the name of its value, the help text.
_FLAGS = {
    "data": ("data.source", "SOURCE", "images of any source, such as folder:PATH"),
    "method": (
        "ensemble.method",
        "METHOD",
        "combination that challenges the median: bagged_climb (default), climb, mean, geometric, trimmed, "
        "rank_mean or best; median: no challenger",
    ),
    "measure": ("ensemble.measure", "MEASURE", "auc, loss or accuracy; default: auc"),
    "tta": ("ensemble.tta", "N", "views of each image; default: those of each training"),
    "submission": ("ensemble.template", "TEMPLATE", "a competition's CSV to fill"),
    "stack": ("stack.portfolio", "PORTFOLIO", "second-level models: default, or a TOML file"),
    "table": ("stack.table", "FILE", "CSV of further columns that second-level models see"),
    "against": (
        "ensemble.against",
        "FOLDER",
        "a finished ensemble that the report shows beside this",
    ),
    "workers": (
        "executor.workers",
        "N",
        "processes that fit second-level models; default: one per core",
    ),
    "address": ADDRESS,
    "hours": ("budget.hours", "X", "finish within X hours, with the networks asked by then"),
    "output": ("run.path", "FOLDER", "run folder, default: runs/ensemble"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="finished run folders of trainings, on one fold table",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file; flags override it")
    add_setting_flags(parser, _FLAGS)
    add_table_arguments(parser)
    parser.add_argument(
        "--until",
        metavar="HH:MM",
        help="finish at this time of day, with the networks asked by then",
    )
    add_resume(parser)
    add_dry_run(parser, "check everything, say what would be combined, and stop")
    add_overrides(parser, "change any setting")
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Make the submission, or say what would be made."""
    from efn_compose.jobs.ensembles.job import run_ensemble
    from efn_compose.jobs.ensembles.preparation import prepare_ensemble
    from efn_compose.jobs.hours import hours_until

    refuse_resumed_dry_run(options)
    overrides = [*settings_given(options, _FLAGS), *table_settings(options), *options.overrides]
    if options.runs:
        overrides.append(f"ensemble.runs={json.dumps(options.runs)}")
    if options.until:
        if "budget.hours" in map(override_name, overrides):
            raise ConfigError("--until and --hours exclude each other.")
        overrides.append(f"budget.hours={hours_until(options.until)}")
    prepared = prepare_ensemble(
        options.config, overrides, resume=None if options.dry_run else options.resume
    )
    if options.dry_run:
        _describe(prepared, output)
        return
    summary = run_ensemble(prepared, resume=options.resume, say=output.note)
    fields = {
        "folder": str(summary.folder),
        "submission": str(summary.submission),
        "plan_b": str(summary.plan_b),
        "second": None if summary.second is None else str(summary.second),
        **summary.result.to_json(),
    }
    output.result(fields, f"{summary}\n  {'submission':<12} {summary.submission}")


def _describe(prepared: "PreparedEnsemble", output: Output) -> None:
    members = prepared.members
    fields = {
        "columns": list(members.names),
        "networks": len(members.networks),
        "rows": len(members.rows),
        "images": len(prepared.table),
        "folder": str(prepared.folder),
        "notes": list(prepared.notes),
    }
    output.result(
        fields,
        f"columns   {len(members.names)}: {', '.join(members.names[:6])}"
        f"{', …' if len(members.names) > 6 else ''}\nnetworks  {fields['networks']}\n"
        f"rows      {fields['rows']:,}\nimages    {fields['images']:,}\n"
        f"folder    {fields['folder']}\n"
        + "".join(f"note      {note}\n" for note in prepared.notes)
        + "Nothing was written.",
    )
