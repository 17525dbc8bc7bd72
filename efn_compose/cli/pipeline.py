"""`efn-compose pipeline`: the stages of a story, one after the other, to a submission.

A story is a TOML file: each table is a stage, with a verb and the settings of that verb. A value
{stage} stands for what that stage writes. Everything is checked before the first stage. A short
training makes plan B first, so that there is a submission whenever the time is up. A killed pipeline
goes on with the same command and --resume.
"""

import argparse
from typing import TYPE_CHECKING, Any

from efn_compose.cli.shared.arguments import (
    add_dry_run,
    add_output,
    add_overrides,
    add_resume,
    refuse_resumed_dry_run,
)
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    from efn_compose.jobs.pipeline.job import PreparedPipeline

EXAMPLE = "efn-compose pipeline story.toml -o runs/story --until 02:00"
ON_INTERRUPT = (
    "stopped; every stage that ended is in the run folder, and the others go on where they were. "
    "The same command with --resume goes on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("story", metavar="STORY", help="TOML file: a table per stage")
    add_output(parser, "run folder, default: runs/ and the story's name", metavar="FOLDER")
    parser.add_argument(
        "--until", metavar="HH:MM", help="end at this time of day with what is there"
    )
    parser.add_argument(
        "--hours", type=float, default=0.0, metavar="X", help="end after so many hours"
    )
    add_resume(parser)
    add_dry_run(parser, "check everything, print all stages with their settings, and stop")
    add_overrides(parser, "change any setting", metavar="STAGE.SECTION.KEY=VALUE")
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Run the story, or say what would be run."""
    from efn_compose.jobs.ensembles.deadline import hours_until
    from efn_compose.jobs.pipeline.job import prepare_pipeline, run_pipeline

    if options.until and options.hours:
        raise ConfigError("--until and --hours exclude each other.")
    refuse_resumed_dry_run(options)
    hours = hours_until(options.until) if options.until else options.hours
    prepared = prepare_pipeline(options.story, options.overrides, options.output)
    if options.dry_run:
        _describe(prepared, output)
        return
    summary = run_pipeline(
        prepared,
        resume=options.resume,
        hours=hours,
        quiet=output.is_quiet or output.as_json,
        say=output.note,
    )
    fields = {
        "folder": str(summary.folder),
        "submission": None if summary.submission is None else str(summary.submission),
        "report": str(summary.report),
        "ended": list(summary.ended),
        "left": list(summary.left),
        "words": summary.words,
    }
    places = [f"  report      {summary.report}"]
    if summary.submission is not None:
        places.insert(0, f"  submission  {summary.submission}")
    output.result(fields, "\n".join([summary.words, *places]))


def _describe(prepared: "PreparedPipeline", output: Output) -> None:
    from efn_compose.jobs.pipeline.checks import room_for

    stages: list[dict[str, Any]] = [
        {
            "stage": stage.name,
            "verb": stage.verb,
            "reads": [str(found) for _, found in stage.references],
            "disk_bytes": prepared.disk[stage.name],
        }
        for stage in prepared.story.stages
    ]
    free = room_for(prepared.folder)
    text = "\n".join(
        f"  {row['stage']:<14} {row['verb']:<10} {row['disk_bytes'] / 1e6:>8,.0f} MB"
        f"{'   reads ' + ', '.join(row['reads']) if row['reads'] else ''}"
        for row in stages
    )
    total = sum(row["disk_bytes"] for row in stages)
    output.result(
        {"folder": str(prepared.folder), "stages": stages, "free_bytes": free},
        f"{prepared.story.to_toml()}\nrun folder    {prepared.folder}\nstages, and about how much they "
        f"write\n{text}\ndisk          {total / 1e6:,.0f} MB of {free / 1e6:,.0f} MB free\n"
        "Nothing was written.",
    )
