"""`efn-compose evolve`: the main job.

Search for starting weights, composed from the donors, that train better on your data than
any donor; write them with a report and a verdict on data the search never saw.
"""

import argparse

from efn_compose.cli.output import Output
from efn_compose.errors import ConfigError

EXAMPLE = "efn-compose evolve my.toml --set search.population=40 data.source=folder:images"
ON_INTERRUPT = (
    "stopped; every finished evaluation is in the run folder. "
    "The same command with --resume goes on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "config", nargs="?", help="TOML file; default: the quickstart, about ten minutes on 2 cores"
    )
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print resolved configuration, evaluations, time and disk, then stop",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="change settings; strings need no quotes, lists no brackets",
    )
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Run the job, or say what it would cost."""
    from efn_compose import job

    config, overrides = _untangle(options.config, options.overrides)
    if options.dry_run:
        if options.resume:
            raise ConfigError("--dry-run and --resume exclude each other.")
        plan = job.dry_run(job.prepare(config, overrides))
        output.result(plan, _plan_text(plan))
        return
    summary = job.evolve(
        config, overrides, resume=options.resume, quiet=output.is_quiet or output.as_json
    )
    fields = {
        "verdict": summary.verdict,
        "winner": summary.winner,
        "folder": str(summary.folder),
        "weights": str(summary.weights),
        "report": str(summary.report),
        "card": str(summary.card),
    }
    places = "\n".join(f"  {name:<8} {fields[name]}" for name in ("weights", "report", "card"))
    output.result(fields, f"{summary.verdict}\n{places}")


def _untangle(config: str | None, overrides: list[str]) -> tuple[str | None, list[str]]:
    """Let the file stand behind `--set a=1 b=2` too, which swallows it."""
    files = [word for word in overrides if "=" not in word]
    if config is None and len(files) == 1 and overrides[-1] == files[0]:
        return files[0], overrides[:-1]
    return config, overrides


def _plan_text(plan: dict) -> str:
    evaluations = plan["evaluations"]
    phases = ", ".join(f"{phase} {count}" for phase, count in evaluations.items())
    return (
        f"{plan['config']}\n"
        f"run folder    {plan['run_folder']}\n"
        f"network       {plan['network']}\n"
        f"donors        {', '.join(plan['donors'])}\n"
        f"genome        {plan['genes']} genes, {plan['genomes']} genomes\n"
        f"evaluations   {sum(evaluations.values())} ({phases})\n"
        f"workers       {plan['workers']}\n"
        f"evaluation    {plan['seconds_per_evaluation']:.2f} s each, measured\n"
        f"time          about {_duration(plan['estimated_seconds'])}\n"
        f"disk          {plan['disk_bytes'] / 1e6:,.0f} MB of {plan['free_bytes'] / 1e6:,.0f} MB free\n"
        "Nothing was written."
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
