"""`efn-compose pipeline`: the chapters of a story, one after the other, to a submission.

A story is a TOML file: each table is a chapter, with a verb and the settings of that verb. A value
{chapter} stands for what that chapter writes. Everything is checked before the first chapter. A short
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
    "stopped; every chapter that ended is in the run folder, and the others go on where they were. "
    "The same command with --resume goes on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("story", metavar="STORY", help="TOML file: a table per chapter")
    add_output(parser, "run folder, default: runs/ and the story's name", metavar="FOLDER")
    parser.add_argument(
        "--until", metavar="HH:MM", help="end at this time of day, with the best submission so far"
    )
    parser.add_argument(
        "--hours",
        type=float,
        default=0.0,
        metavar="X",
        help="end within X hours, with the best submission so far",
    )
    add_resume(parser)
    add_dry_run(parser, "check everything, say what each chapter takes, and stop")
    add_overrides(parser, "change any setting", metavar="CHAPTER.SECTION.KEY=VALUE")
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Run the story, or say what would be run."""
    from efn_compose.jobs.hours import hours_until
    from efn_compose.jobs.pipeline.alarm import Alarm
    from efn_compose.jobs.pipeline.job import prepare_pipeline, run_pipeline

    if options.until and options.hours:
        raise ConfigError("--until and --hours exclude each other.")
    refuse_resumed_dry_run(options)
    # It counts down while everything is checked, too.
    alarm = Alarm(hours_until(options.until) if options.until else options.hours)
    prepared = prepare_pipeline(options.story, options.overrides, options.output)
    if options.dry_run:
        _describe(prepared, output)
        return
    summary = run_pipeline(
        prepared,
        resume=options.resume,
        hours=alarm.hours_left(),
        quiet=output.is_silent,
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
    from efn_compose.jobs.pipeline.chapters import unread_chapters
    from efn_compose.jobs.pipeline.estimate import estimate_time
    from efn_compose.store.atomic import free_bytes

    estimate = estimate_time(prepared.checked.work, output.note)
    by_name = {chapter.name: chapter for chapter in prepared.story.chapters}
    chapters: list[dict[str, Any]] = []
    for name, work in prepared.checked.work.items():
        chapter = by_name.get(name)
        chapters.append(
            {
                "chapter": name,
                "verb": "train" if chapter is None else chapter.verb,
                "reads": [] if chapter is None else [str(found) for _, found in chapter.references],
                "seconds": estimate.seconds.get(name),
                "memory_bytes": None if work.memory is None else work.memory.node_bytes,
                "disk_bytes": work.disk_bytes,
            }
        )
    free, total = free_bytes(prepared.folder), sum(row["disk_bytes"] for row in chapters)
    memory = max((row["memory_bytes"] or 0 for row in chapters), default=0)
    seconds = sum(estimate.seconds.values()) if estimate.seconds else None
    width = max(len(row["chapter"]) for row in chapters)
    lines = [
        f"  {'chapter':<{width}}  {'verb':<8}  {'time':>10}  {'memory':>9}  {'disk':>9}  reads"
    ]
    lines += [
        f"  {row['chapter']:<{width}}  {row['verb']:<8}  "
        f"{'' if row['seconds'] is None else _about(row['seconds']):>10}  "
        f"{'' if row['memory_bytes'] is None else _size(row['memory_bytes']):>9}  "
        f"{_size(row['disk_bytes']) if row['disk_bytes'] else '':>9}  {', '.join(row['reads'])}"
        for row in chapters
    ]
    whole = "" if seconds is None else f"about {_about(seconds)}, "
    lines += [
        f"time          {whole}{estimate.words}",
        f"memory        {_size(memory)} at most",
        f"disk          {_size(total)} of {_size(free)} free",
    ]
    cached, notes = prepared.checked.cache_bytes, unread_chapters(prepared.story)
    if cached:
        lines.append(f"cache         {_size(cached)} of decoded images")
    lines += [f"note: {note}" for note in notes]
    table = "\n".join(line.rstrip() for line in lines)
    output.result(
        {
            "folder": str(prepared.folder),
            "chapters": chapters,
            "seconds": seconds,
            "time": estimate.words,
            "free_bytes": free,
            "cache_bytes": cached,
            "notes": notes,
        },
        f"{prepared.story.to_toml()}\nrun folder    {prepared.folder}\n{table}\nNothing was written.",
    )


def _about(seconds: float) -> str:
    """Return an estimate in words, no finer than it is."""
    from efn_compose.analysis.reading.figures import duration

    step = 1 if seconds < 60 else 60
    return duration(step * round(seconds / step))


def _size(count: float) -> str:
    """Return bytes in words."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
