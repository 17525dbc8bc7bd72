"""`efn-compose relay`: go on with a run that somebody else began.

`efn-compose train ... --hours 29.9 --parcel out.efn` (or `pretrain`, `evolve`) stops in time and writes one
file: weights, optimizer, position, journal, and what the run was told. `relay accept` checks every
byte of the file, its versions and your images, puts the run into a folder and goes on. Your images
do not travel: name them with --data. With --hours and --parcel it hands the run on again.
"""

import argparse

from efn_compose.cli.shared.arguments import add_dry_run, add_output, add_overrides, add_relay
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose relay accept out.efn --data folder:photos -o runs/mine"
ON_INTERRUPT = "stopped; every finished part is in the run folder. The same command goes on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("action", choices=("accept",), help="take a parcel over")
    parser.add_argument("file", metavar="FILE", help="the parcel")
    parser.add_argument("--data", metavar="SOURCE", help="the run's images, as they lie here")
    add_output(parser, "run folder: a new one, or one of this relay", metavar="RUN", required=True)
    add_relay(parser)
    add_dry_run(parser, "check the parcel and the images, and write nothing")
    add_overrides(parser, "where images are, and settings that change no result")
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Check the parcel and go on with its run."""
    from efn_compose.cli.shared.legs import say_leg
    from efn_compose.jobs.relay.job import accept
    from efn_compose.jobs.relay.legs import legs_text

    overrides = [f"data.source={options.data}"] if options.data else []
    summary = accept(
        options.file,
        options.output,
        [*overrides, *options.overrides],
        hours=options.hours,
        next_parcel=options.parcel,
        only_check=options.dry_run,
        quiet=output.is_silent,
    )
    if options.dry_run:
        legs = [leg.to_json() for leg in summary.legs]
        words = [
            *summary.notes,
            legs_text(summary.legs),
            "The parcel is whole and fits. Nothing was written.",
        ]
        output.result({"legs": legs, "notes": list(summary.notes)}, "\n".join(words))
        return
    say_leg(summary, output)
