"""A search for an augmentation policy: trained networks to a policy file, by way of a journal."""

import dataclasses
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from efn_compose.compose import Genome
from efn_compose.errors import EvaluationError
from efn_compose.jobs.executing import Answering, answering
from efn_compose.jobs.policies.expected import (
    NOTHING,
    Measured,
    expected,
    needed_pairs,
    policy_loss,
)
from efn_compose.jobs.policies.measurements import TRIVIAL, Measurements, in_order
from efn_compose.jobs.policies.preparation import STORED, PreparedPolicy, prepare_policy
from efn_compose.jobs.policies.search import POPULATION, search_policies
from efn_compose.jobs.policies.verdict import PolicyVerdict, give_verdict
from efn_compose.jobs.policies.worker import FreshTraining
from efn_compose.jobs.trainings.unfinished import STATES_FOLDER, forget_states
from efn_compose.jobs.trainings.watching.progress import TrainingProgress
from efn_compose.store import RunFolder
from efn_compose.store.run_folder import RESULT_FILE
from efn_compose.train.augment.policies.tables import SubPolicy
from efn_compose.train.augment.policies.written import policy_text

#: The file that `augment.auto` reads.
POLICY_FILE = "policy.toml"


@dataclass(frozen=True)
class PolicySummary:
    """The result of a search for a policy.

    Args:
        folder: The run folder.
        file: The policy file: the found policy, or TrivialAugment.
        verdict: The comparison of both.
        evaluations: Policies that were scored.
    """

    folder: Path
    file: Path
    verdict: PolicyVerdict
    evaluations: int

    def __str__(self) -> str:
        """Return the verdict in words."""
        return self.verdict.words


def policy(
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    quiet: bool = False,
) -> PolicySummary:
    """Find an augmentation policy by what trained networks make of held-out images.

    Density matching (Lim et al. 2019, arXiv:1905.00397): a policy is good if networks that were
    trained without it tell images under it apart that they were not trained on. Nothing is trained
    for it. Fresh trainings then compare the best policy with TrivialAugment; what is not ahead
    by more than a standard error is not written.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        resume: Go on with the run folder's search.
        quiet: Draw no progress.

    Returns:
        Where the policy file is, and the verdict.

    Raises:
        EfnComposeError: Bad input (nothing was written), or a measurement or training failed.

    Example:
        >>> efn_compose.policy(overrides=["policy.networks=runs/photos"])  # doctest: +SKIP
    """
    prepared = prepare_policy(config_path, overrides, show_progress=not quiet, resume=resume)
    with STORED.opened(prepared.folder, prepared.config, prepared.identity, resume) as folder:
        return _run(prepared, folder, quiet)


def find(
    prepared: PreparedPolicy,
    measurements: Measurements,
    progress: TrainingProgress,
) -> tuple[tuple[SubPolicy, ...], int]:
    """Return the policy of the least expected loss that the search comes upon.

    Args:
        prepared: The search.
        measurements: Of pairs of steps; grows.
        progress: Told of every generation.

    Returns:
        The policy, and how many were scored.

    Raises:
        EvaluationError: No policy of the space changes images enough.
    """
    space, options = prepared.space, prepared.config.policy
    least = options.change * measurements.trivial().change
    scored, best = 0, float("inf")

    def losses(genomes: Sequence[Genome]) -> list[float]:
        nonlocal scored, best
        policies = [space.decode(genome) for genome in genomes]
        measurements.measure(needed_pairs(policies))
        found = [policy_loss(steps, measurements.of, least) for steps in policies]
        scored, best = scored + len(found), min(best, *found)
        progress.finish(f"{scored} policies scored, the best has a loss of {best:.4f}")
        return found

    genome, _ = search_policies(space, options.evaluations, prepared.config.run.seed, losses)
    chosen = space.decode(genome)
    parts = expected(chosen, measurements.of)
    names = [frozenset(name for name, _, _ in steps) for steps in chosen]
    kept = tuple(
        steps
        for number, (steps, part) in enumerate(zip(chosen, parts, strict=True))
        if part.change >= least and names[number] not in names[:number]
    )
    if not kept:
        raise EvaluationError(
            f"None of {scored} policies changes pixels by {least:.1f} of 255, which is "
            f"{options.change:g} of what TrivialAugment does. Lower policy.change or raise "
            "policy.evaluations."
        )
    return kept, scored


def _run(prepared: PreparedPolicy, folder: RunFolder, quiet: bool) -> PolicySummary:
    from rich.console import Console

    options = prepared.config.policy
    states = prepared.folder / STATES_FOLDER
    states.mkdir(exist_ok=True)
    units = -(-options.evaluations // POPULATION) + 2 * options.seeds
    with (
        TrainingProgress(units, Console(quiet=quiet, stderr=True)) as progress,
        _workers(prepared, progress) as answer,
    ):
        for note in prepared.notes:
            progress.note(note)
        measurements = Measurements(prepared, folder.journal, answer)
        found, scored = find(prepared, measurements, progress)
        policy_words = policy_text(found)
        tasks = prepared.fresh_trainings(policy_words)
        scores = _fresh_scores(tasks, folder, answer, progress, states)
        measurements.measure([(NOTHING, NOTHING)])
        parts = expected(found, measurements.of)
        mean = Measured(
            *(sum(values) / len(parts) for values in zip(*map(_values, parts), strict=True))
        )
    verdict = give_verdict(
        policy_words,
        [scores[task.name] for task in tasks if task.arm == "found"],
        [scores[task.name] for task in tasks if task.arm == TRIVIAL],
        {
            "as they are": measurements.of((NOTHING, NOTHING)),
            "under the found policy": mean,
            "under TrivialAugment": measurements.trivial(),
        },
    )
    folder.write_text(POLICY_FILE, verdict.to_toml())
    folder.write_json(RESULT_FILE, {**verdict.to_json(), "evaluations": scored})
    with suppress(OSError):
        states.rmdir()
    return PolicySummary(prepared.folder, prepared.folder / POLICY_FILE, verdict, scored)


def _values(part: Measured) -> tuple[float, float]:
    return part.loss, part.change


def _workers(
    prepared: PreparedPolicy, progress: TrainingProgress
) -> AbstractContextManager[Answering]:
    setup = prepared.setup
    return answering(
        setup,
        prepared.data,
        prepared.config.executor,
        progress.note,
        most=max(len(prepared.networks), 2 * prepared.config.policy.seeds),
        # One process has all of this machine's threads.
        alone=dataclasses.replace(setup, threads=0),
    )


def _fresh_scores(
    tasks: Sequence[FreshTraining],
    folder: RunFolder,
    answer: Answering,
    progress: TrainingProgress,
    states: Path,
) -> dict[str, dict[str, float]]:
    """Return the scores of fresh trainings by name: from the journal, or made now."""
    known = {r["training"]: r for r in folder.journal if r.get("error", 0) is None}
    scores = {task.name: known[task.name]["scores"] for task in tasks if task.name in known}
    forget_states(states, scores)
    for name in scores:
        progress.finish(f"{name}, made before")
    for task, outcome in in_order(answer, [task for task in tasks if task.name not in scores]):
        record = {"training": task.name, "policy": task.policy, "fold": task.fold}
        record |= {"seed": task.seed, "scores": dict(outcome.value or {}), "error": outcome.error}
        folder.journal.append({**record, "timing": {"wall_seconds": round(outcome.seconds, 3)}})
        if outcome.error is not None:
            raise EvaluationError(f"{task.name} failed: {outcome.error}")
        forget_states(states, [task.name])
        scores[task.name] = dict(outcome.value)
        words = "  ".join(f"{name} {value:.4f}" for name, value in outcome.value.items())
        progress.finish(f"{task.name}  {words}")
    return scores
