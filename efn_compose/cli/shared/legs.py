"""What `train`, `evolve` and `relay` say of a leg."""

import argparse
from collections.abc import Sequence

from efn_compose.cli.shared.output import Output
from efn_compose.jobs.relay.job import LegSummary, run_leg
from efn_compose.jobs.relay.legs import legs_text


def make_leg(
    verb: str,
    config: str | None,
    overrides: Sequence[str],
    options: argparse.Namespace,
    hours: float,
    output: Output,
) -> None:
    """Run a leg of a verb's run, as `--parcel` and `--resume` say, and print how it ended.

    Args:
        verb: train, pretrain or evolve.
        config: Its configuration file.
        overrides: Settings, as `--set` takes them.
        options: Hold `parcel` and `resume`.
        hours: Of the leg; 0: no limit.
        output: Where words go.
    """
    leg = run_leg(
        verb,
        config,
        overrides,
        hours=hours,
        parcel=options.parcel,
        resume=options.resume,
        quiet=output.is_silent,
    )
    say_leg(leg, output)


def say_leg(summary: LegSummary, output: Output) -> None:
    """Print how far a run is, who did what, and how it goes on."""
    is_done = summary.result is not None
    parcel = None if summary.parcel is None else str(summary.parcel)
    fields = {
        "folder": str(summary.folder),
        "parcel": parcel,
        "finished": is_done,
        "legs": [leg.to_json() for leg in summary.legs],
        "notes": list(summary.notes),
    }
    if is_done:
        words = f"The run is finished.\n{summary.result}"
    elif parcel is None:
        words = "The hours are over. The same command with --resume goes on."
    else:
        words = f"The hours are over. Whoever goes on: efn-compose relay accept {parcel} -o RUN"
    places = f"  folder  {summary.folder}" + (f"\n  parcel  {parcel}" if parcel else "")
    output.result(fields, "\n".join([*summary.notes, words, legs_text(summary.legs), places]))
