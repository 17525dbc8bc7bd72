"""`efn-compose policy`: find an augmentation policy for your images, with networks that you have.

RUN is a run folder of `efn-compose train`. Each of its networks scores policies on images that it was not
trained on, so that scoring trains nothing. Fresh trainings then compare the best policy with
TrivialAugment. The run folder gets policy.toml: the found policy where it is ahead by more than a
standard error, otherwise TrivialAugment. Train with it: --set augment.auto=policy.toml. A killed
search goes on with the same command and --resume.
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
from efn_compose.cli.shared.output import Output

if TYPE_CHECKING:
    from efn_compose.jobs.policies.preparation import PreparedPolicy

EXAMPLE = "efn-compose policy runs/many --evaluations 2000 --seeds 5 -o runs/policy"
ON_INTERRUPT = (
    "stopped; every measurement is in the journal. The same command with --resume goes on."
)
#: Flags that stand for settings: the setting, the name of its value, the help text.
_FLAGS = {
    "evaluations": ("policy.evaluations", "N", "policies to score"),
    "seeds": ("policy.seeds", "N", "fresh trainings of either policy"),
    "epochs": ("policy.epochs", "N", "epochs of these trainings; default: those of the run"),
    "workers": ("executor.workers", "N", "processes that score and train; default: one per core"),
    "address": ADDRESS,
    "output": ("run.path", "FOLDER", "run folder, default: runs/policy"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "networks", nargs="*", metavar="RUN", help="run folder of trainings, or trainings in it"
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file; flags override it")
    add_setting_flags(parser, _FLAGS)
    add_resume(parser)
    add_dry_run(parser, "check everything, say what would be done and how long it takes, and stop")
    add_overrides(parser, "change any setting, such as policy.change=0.8")
    parser.set_defaults(on_interrupt=ON_INTERRUPT)


def run(options: argparse.Namespace, output: Output) -> None:
    """Find a policy, or say what would be done."""
    from efn_compose.jobs.policies.job import policy
    from efn_compose.jobs.policies.preparation import prepare_policy

    refuse_resumed_dry_run(options)
    overrides = [*settings_given(options, _FLAGS), *options.overrides]
    if options.networks:
        overrides.append(f"policy.networks={json.dumps(options.networks)}")
    if options.dry_run:
        _describe(
            prepare_policy(options.config, overrides, show_progress=not output.is_silent), output
        )
        return
    summary = policy(options.config, overrides, resume=options.resume, quiet=output.is_silent)
    fields = {
        "folder": str(summary.folder),
        "file": str(summary.file),
        "evaluations": summary.evaluations,
        **summary.verdict.to_json(),
    }
    output.result(fields, f"{summary}\n  {'policy':<12} {summary.file}")


def _describe(prepared: "PreparedPolicy", output: Output) -> None:
    from efn_compose.analysis.reading.figures import duration
    from efn_compose.jobs.policies.estimate import estimate_hours

    estimate = estimate_hours(prepared)
    options = prepared.config.policy
    finding = sum(len(first) for first, _ in prepared.halves.values())
    judging = sum(len(second) for _, second in prepared.halves.values())
    networks = [network.name for network in prepared.networks]
    fields = {
        "folder": str(prepared.folder),
        "networks": networks,
        "finding_images": finding,
        "judging_images": judging,
        "evaluations": options.evaluations,
        "pairs": estimate.pairs,
        "trainings": 2 * options.seeds,
        "search_hours": estimate.search_hours,
        "verdict_hours": estimate.verdict_hours,
        "notes": prepared.notes,
    }
    output.result(
        fields,
        f"run folder  {prepared.folder}\nnetworks    {', '.join(networks)}\n"
        f"images      {finding} score policies, {judging} judge the best one\n"
        f"policies    {options.evaluations}, made of {estimate.pairs} pairs of steps\n"
        f"trainings   {fields['trainings']}\n"
        f"time        at most {duration(3600 * estimate.search_hours)} for the search and about "
        f"{duration(3600 * estimate.verdict_hours)} for the trainings, with one worker\n"
        + "".join(f"note        {note}\n" for note in prepared.notes)
        + "Nothing was written.",
    )
