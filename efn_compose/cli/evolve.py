"""`efn-compose evolve`: the main job.

Candidates are composed from the donors, trained briefly and scored. The weights that train best on your
data are written, with a report. A verdict says whether they beat the best donor, on images that the
search never saw.
"""

import argparse
import json
from typing import TYPE_CHECKING, Any

from efn_compose.cli.shared.arguments import (
    ADDRESS,
    SOURCES,
    add_dry_run,
    add_overrides,
    add_relay,
    add_resume,
    add_setting_flags,
    settings_given,
)
from efn_compose.cli.shared.images import add_table_arguments, table_settings
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    from efn_compose.jobs.search.preparation import Prepared

EXAMPLE = "efn-compose evolve my.toml --set genetic.population=40 data.source=folder:images"
#: Flags that stand for settings: the setting, the name of its value, the help text.
_FLAGS = {
    "data": (
        "data.source", "SOURCE",
        SOURCES,
    ),
    "size": ("data.size", "N", "height and width of every image, in pixels"),
    "output": ("run.path", "FOLDER", "run folder; default: runs/ and the configuration's name"),
    "hours": (
        "budget.hours", "H",
        "stop within H hours, finals and test included, in place of the number of generations; with "
        "--parcel, hand the run on by then",
    ),
    "evaluations": (
        "budget.evaluations", "N",
        "make at most N evaluations, all phases included, in place of the number of generations",
    ),
    "until-no-better": (
        "budget.until_no_better", "N",
        "end the search after N evaluations without a new best, in place of the number of generations",
    ),
    "address": ADDRESS,
}  # fmt: skip
_CACHE_TOO = " but the cache of decoded images, which the run will read"
#: More classes than these are counted, not listed.
_MOST_CLASSES = 12
ON_INTERRUPT = (
    "stopped; every finished evaluation is in the run folder. "
    "The same command with --resume goes on; `make evolve` adds --resume by itself."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "config",
        nargs="?",
        help="TOML file; without it and without --donors: the quickstart, about five minutes",
    )
    parser.add_argument(
        "--donors",
        nargs="+",
        metavar="FILE",
        help="checkpoints of any library, or package:NAME; NAME=FILE names a donor",
    )
    add_setting_flags(parser, _FLAGS)
    add_table_arguments(parser)
    add_resume(parser)
    add_relay(parser, hours=False)
    add_dry_run(parser, "print all settings, the number of evaluations, time and disk, then stop")
    parser.add_argument(
        "--noise",
        type=int,
        metavar="N",
        help="measure how much the first donor's fitness varies over N seeds, then stop",
    )
    add_overrides(parser, "change settings; strings need no quotes, lists no brackets")
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Run the job, or report its cost."""
    from efn_compose.jobs.search import job, rehearsal
    from efn_compose.jobs.search.preparation import prepare

    config, overrides = _untangle(options.config, options.overrides)
    overrides = [*_shortcuts(options), *overrides]
    chosen = [
        name
        for name, is_chosen in (
            ("--dry-run", options.dry_run),
            ("--resume", options.resume),
            ("--noise", options.noise is not None),
        )
        if is_chosen
    ]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} exclude each other.")
    if options.noise is not None:
        found = rehearsal.measure_noise(
            _noted(prepare(config, overrides), output), options.noise, output.note
        )
        output.result(found, _noise_text(found))
        return
    if options.dry_run:
        plan = rehearsal.dry_run(_noted(prepare(config, overrides), output), output.note)
        output.result(plan, _plan_text(plan))
        return
    if options.parcel:
        _leg(options, config, overrides, output)
        return
    summary = job.evolve(config, overrides, resume=options.resume, quiet=output.is_silent)
    fields = {
        "verdict": summary.verdict,
        "winner": summary.winner,
        "folder": str(summary.folder),
        "weights": str(summary.weights),
        "report": str(summary.report),
        "card": str(summary.card),
    }
    output.result(fields, str(summary))


def _noted(prepared: "Prepared", output: Output) -> "Prepared":
    """Say what the images' source holds beside them."""
    for words in prepared.data.notes:
        output.note(words)
    return prepared


def _untangle(config: str | None, overrides: list[str]) -> tuple[str | None, list[str]]:
    """Let the file stand behind `--set a=1 b=2` too, which swallows it."""
    files = [word for word in overrides if "=" not in word]
    if config is None and len(files) == 1 and overrides[-1] == files[0]:
        return files[0], overrides[:-1]
    return config, overrides


def _leg(
    options: argparse.Namespace, config: str | None, overrides: list[str], output: Output
) -> None:
    """Run a leg; its hours are no budget of the search, which goes on elsewhere."""
    from efn_compose.cli.shared.legs import make_leg

    hours = getattr(options, "budget.hours")
    try:
        limit = float(hours or 0)
    except ValueError:
        raise ConfigError(f"--hours: a number of hours. Received: {hours!r}.") from None
    own = [word for word in overrides if hours is None or word != f"budget.hours={hours}"]
    make_leg("evolve", config, own, options, limit, output)


def _shortcuts(options: argparse.Namespace) -> list[str]:
    """Return the settings that have a flag of their own, as `--set` takes them."""
    given = [*settings_given(options, _FLAGS), *table_settings(options)]
    if options.donors is not None:
        given.append(f"donors.files={json.dumps(options.donors, ensure_ascii=False)}")
    return given


def _plan_text(plan: dict[str, Any]) -> str:
    evaluations = plan["evaluations"]
    phases = ", ".join(f"{phase} {count}" for phase, count in evaluations.items())
    workers_note = f"; {plan['workers_note']}" if plan["workers_note"] else ""
    return (
        f"{plan['config']}\n"
        f"run folder    {plan['run_folder']}\n"
        f"network       {plan['network']}\n"
        f"donors        {_donor_text(plan)}\n"
        f"data          {_data_text(plan['data'])}\n"
        f"genome        {plan['genes']} genes, {plan['genomes']} genomes\n"
        f"evaluations   {sum(evaluations.values())} ({phases})\n"
        f"workers       {plan['workers']}"
        f"{'' if plan['device'] == 'auto' else ' on ' + plan['device']}"
        f"{workers_note}\n"
        f"batch         {plan['batch_size_note'] or plan['batch_size']}\n"
        f"evaluation    {plan['seconds_per_evaluation']:.2f} s each, measured\n"
        f"time          about {_duration(plan['estimated_seconds'])}, start and siblings included\n"
        f"{plan['plan']['words']}\n"
        f"memory        {plan['worker_bytes'] / 1e6:,.0f} MB per worker, measured; images "
        f"{plan['image_bytes'] / 1e6:,.0f} MB and donors {plan['donor_bytes'] / 1e6:,.0f} MB, "
        "once more per node\n"
        f"disk          {plan['disk_bytes'] / 1e6:,.0f} MB of {plan['free_bytes'] / 1e6:,.0f} MB free\n"
        f"Nothing was written{_CACHE_TOO if plan['plan']['disk_bytes'] else ''}."
    )


def _donor_text(plan: dict[str, Any]) -> str:
    names = ", ".join(plan["donors"])
    return f"{names}; {plan['siblings']} siblings are made of them" if plan["siblings"] else names


def _data_text(data: dict[str, Any]) -> str:
    """Return the images in words, by class where there are few."""
    parts = ", ".join(f"{part} {count:,}" for part, count in data["images"].items())
    total, classes = sum(data["images"].values()), data["classes"]
    text = f"{data['source']}: {total:,} images of {data['size']} px ({parts})"
    if data["left_out"]:
        text += f", {data['left_out']} more cannot be decoded"
    if len(classes) > _MOST_CLASSES:
        return f"{text}, {len(classes)} classes"
    found = (f"{name}: {'/'.join(map(str, counts.values()))}" for name, counts in classes.items())
    return f"{text}\n              by class, train/validation/test: {', '.join(found)}"


def _noise_text(found: dict[str, Any]) -> str:
    lines = [f"{found['donor']}: {len(found['losses'])} seeds, same weights, same data"]
    for metric, spread in found["spread"].items():
        lines.append(f"  {metric:<9} {spread['mean']:.4f} ± {spread['deviation']:.4f}")
    lines.append(
        "± is the standard deviation of one evaluation: differences below it between two "
        "evaluations under different seeds mean nothing."
    )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
