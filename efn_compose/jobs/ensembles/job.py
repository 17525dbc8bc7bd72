"""`ensemble`: finished trainings to a submission that is never worse founded than their median."""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.analysis.reading.figures import count
from efn_compose.assess.ensembles import (
    FALLBACK,
    METHODS,
    Judged,
    Suspect,
    Verdict,
    compare,
    give_verdict,
    judge_methods,
    raise_level,
    suspect_columns,
    told_apart,
)
from efn_compose.assess.ensembles.leaks import TOLD_APART, describe_suspects
from efn_compose.assess.ensembles.methods import RANKED
from efn_compose.jobs.ensembles.asked import Asker, OutOfTimeError, TestAnswers
from efn_compose.jobs.ensembles.other import write_honest
from efn_compose.jobs.ensembles.preparation import STORED, PreparedEnsemble, prepare_ensemble
from efn_compose.jobs.ensembles.report.page import write_page
from efn_compose.jobs.ensembles.result import EnsembleResult
from efn_compose.jobs.ensembles.stacking.inputs import Further, StackData
from efn_compose.jobs.ensembles.stacking.pooled import FEATURES_FOLDER, with_pooled
from efn_compose.jobs.ensembles.stacking.run import StackColumns, fit_portfolio
from efn_compose.jobs.ensembles.written import write_submission
from efn_compose.jobs.predictions.networks import Network
from efn_compose.store import RunFolder

PLAN_B_FILE, SUBMISSION_FILE, SECOND_FILE = "plan_b.csv", "submission.csv", "second.csv"
STORE_FOLDER = "predictions"
#: The second level's name among the methods, and how its models are combined.
STACK, STACK_METHOD = "stack", "bagged_climb"
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class EnsembleSummary:
    """A finished ensemble.

    Args:
        folder: The run folder.
        submission: What to hand in first.
        plan_b: The median of all columns.
        second: What to hand in second: the method that was not written first. None where the time
            was up before it could be made.
        result: What `result.json` holds.
    """

    folder: Path
    submission: Path
    plan_b: Path
    second: Path | None
    result: EnsembleResult

    def __str__(self) -> str:
        """Return table and verdict as lines for people."""
        return str(self.result)


def ensemble(
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    say: Say = lambda words: None,
) -> EnsembleSummary:
    """Make one submission of the networks of finished trainings.

    The median of all columns is written first and stands until another combination is ahead of it by
    more than a standard error on outer folds, and no column looks as if it had leaked.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        resume: Go on with the run folder's job.
        say: Told in a line what has just happened.

    Raises:
        EfnComposeError: Bad input; nothing was written.

    Example:
        >>> ensemble(overrides=["ensemble.runs=runs/b0,runs/b2",
        ...                     "data.source=folder:new"])  # doctest: +SKIP
    """
    return run_ensemble(
        prepare_ensemble(config_path, overrides, resume=resume), resume=resume, say=say
    )


def run_ensemble(
    prepared: PreparedEnsemble, *, resume: bool = False, say: Say = lambda words: None
) -> EnsembleSummary:
    """Make what `prepare_ensemble` prepared.

    Args:
        prepared: Everything checked and loaded.
        resume: Go on with the run folder's job.
        say: Told in a line what has just happened.
    """
    with STORED.opened(prepared.folder, prepared.config, prepared.identity, resume) as folder:
        return _Job(prepared, folder, say).run()


class _Job:
    """One run of an ensemble."""

    def __init__(self, prepared: PreparedEnsemble, folder: RunFolder, say: Say) -> None:
        self.prepared, self.folder, self.say = prepared, folder, say
        self.deadline = prepared.deadline
        self.asker = Asker(prepared.folder, prepared.table, prepared.tta, prepared.members)

    def run(self) -> EnsembleSummary:
        prepared, members = self.prepared, self.prepared.members
        for note in prepared.notes:
            self.say(note)
        members.write(prepared.folder / STORE_FOLDER)
        first, *others = members.networks
        # Whatever comes, there is a submission: the first network is asked even if it is late.
        self._ask(first, lambda: False)
        self._write_plan_b(self.asker.answers())
        judged = self._judge()
        is_whole = self._ask_all(others)
        answers = self.asker.answers()
        self._write_plan_b(answers)
        if not is_whole:
            self.folder.journal.append(
                {"event": "time is up", "networks": answers.networks, "of": len(others) + 1}
            )
        return self._end(judged, answers)

    def _ask_all(self, networks: Sequence[Network]) -> bool:
        """Ask networks until it is late; return whether all answers are there."""
        columns = len(self.prepared.members.members)
        for asked, network in enumerate(networks, start=2):
            was_done = self.asker.is_done(network)
            if not self._ask_next(network):
                return False
            # All columns have another fold: a better plan B, should the power fail.
            if not was_done and asked % columns == 0:
                self._write_plan_b(self.asker.answers())
        return True

    def _ask_next(self, network: Network) -> bool:
        """Ask a network unless it is late; return whether its answers are there."""
        if self.asker.is_done(network):
            return True
        if self.deadline.is_over():
            return False
        try:
            self._ask(network, self.deadline.is_over)
        except OutOfTimeError:
            return False
        return True

    def _ask(self, network: Network, is_late: Callable[[], bool]) -> None:
        if self.asker.is_done(network):
            return
        begun = time.perf_counter()
        self.asker.ask(network, is_late)
        seconds = round(time.perf_counter() - begun, 3)
        record = {"phase": "ask", "network": self.asker.path(network).stem}
        self.folder.journal.append(record | {"timing": {"seconds": seconds}})
        self.say(f"asked {network.name}: {len(self.prepared.table)} images, {seconds:.0f} s")

    def _judge(self) -> dict[str, Judged]:
        prepared, members = self.prepared, self.prepared.members
        known = {r["method"] for r in self.folder.journal if r.get("phase") == "outer"}
        stated = np.stack([member.probability for member in members.members])
        options = prepared.config.ensemble
        judged = judge_methods(stated, members.rows, options.measure, seed=prepared.config.run.seed)
        for name, one in judged.items():
            if name not in known:
                record = {
                    "phase": "outer",
                    "method": name,
                    "honest": one.honest.value,
                    "flattering": one.flattering.value,
                }
                self.folder.journal.append(record)
        return judged

    def _write_plan_b(self, answers: TestAnswers) -> None:
        """Write the median of what is there, as plan B and as the submission so far.

        The submission of a job that has ended stays until the end of this one: `result.json` is of it.
        """
        plain = self._median(answers)
        self._write(PLAN_B_FILE, plain, answers)
        if not self.folder.is_finished:
            self._write(SUBMISSION_FILE, plain, answers)
        columns = len(answers.columns)
        self.say(f"{PLAN_B_FILE}: median of {columns} columns, {answers.networks} networks")

    def _median(self, answers: TestAnswers) -> np.ndarray:
        return METHODS[FALLBACK](answers.mean, np.zeros(0), "auc", 0).combine(answers.mean)

    def _write(
        self,
        name: str,
        probability: np.ndarray,
        answers: TestAnswers,
        called: np.ndarray | None = None,
    ) -> Path:
        prepared = self.prepared
        path = prepared.folder / name
        write_submission(
            path,
            prepared.table,
            prepared.members.rows.class_names,
            prepared.template,
            probability,
            answers.mean,
            called,
        )
        return path

    def _end(self, judged: Mapping[str, Judged], answers: TestAnswers) -> EnsembleSummary:
        prepared, members = self.prepared, self.prepared.members
        method = prepared.config.ensemble.method
        missing = len(members.members) - len(answers.columns)
        suspects: list[Suspect] = []
        apart: float | None = None
        second = None
        if missing:
            doubts = [f"The time was up: {count(missing, 'column')} without an answer."]
        else:
            stated = np.stack([member.probability for member in members.members])
            suspects = suspect_columns(stated, members.rows.label, answers.single)
            apart = told_apart(stated, answers.single, prepared.config.run.seed)
            doubts = describe_suspects(suspects, members.names)
            if apart is None:
                doubts.append("Too few test rows to tell whether they look like out-of-fold rows.")
            elif apart > TOLD_APART:
                doubts.append(
                    f"Out-of-fold rows and test rows are told apart (AUC {apart:.3f}, more than "
                    f"{TOLD_APART})."
                )
        verdict = give_verdict(judged, method, doubts)
        every, tests = dict(judged), dict.fromkeys(judged, answers.mean)
        stack = None if missing else self._stack(answers)
        if stack is not None and len(stack.models):
            every[STACK] = self._judge_stack(stack, judged[FALLBACK])
            tests[STACK] = stack.test
            verdict = raise_level(
                verdict, every[STACK], every[verdict.winner], members.rows, doubts
            )
        if missing:
            # Also over the submission of a run before, which had fewer answers.
            self._write(SUBMISSION_FILE, self._median(answers), answers)
        else:
            second = self._write_both(every, tests, verdict, answers)
        result = EnsembleResult.of(prepared, every, verdict, suspects, apart, answers, stack)
        self.folder.write_json("result.json", result.to_json())
        write_honest(prepared.folder, members.rows, every)
        write_page(prepared, every, result)
        return EnsembleSummary(
            prepared.folder,
            prepared.folder / SUBMISSION_FILE,
            prepared.folder / PLAN_B_FILE,
            second,
            result,
        )

    def _write_both(
        self,
        judged: Mapping[str, Judged],
        tests: Mapping[str, np.ndarray],
        verdict: Verdict,
        answers: TestAnswers,
    ) -> Path | None:
        """Write the winner as the submission and the other one as the second."""

        def write(file: str, method: str) -> Path:
            called = self._median(answers).argmax(axis=1) if method in RANKED else None
            stated = judged[method].combination.combine(tests[method])
            return self._write(file, stated, answers, called)

        write(SUBMISSION_FILE, verdict.winner)
        other = verdict.challenger if verdict.winner == FALLBACK else FALLBACK
        return None if other == verdict.winner else write(SECOND_FILE, other)

    def _stack(self, answers: TestAnswers) -> StackColumns | None:
        """Fit the second level, as far as there is time; None where none is asked for."""
        prepared, members = self.prepared, self.prepared.members
        if not prepared.models:
            return None
        stated = np.stack([member.probability for member in members.members])
        try:
            further = self._further()
        except OutOfTimeError:
            return StackColumns.none(stated, answers.mean, len(prepared.models))
        data = StackData.of(
            stated,
            answers.mean,
            members.rows.label,
            members.rows.fold,
            *further,
        )
        found = fit_portfolio(
            prepared.models,
            data,
            prepared.folder,
            self.folder.journal,
            prepared.config.executor,
            self.deadline.is_over,
            self.say,
        )
        self.say(
            f"second level: {len(found.models)} models fitted, {found.failed} failed, "
            f"{found.missing} not fitted yet"
        )
        return found

    def _further(self) -> tuple[Further, Further]:
        """Return what second-level models see beside the columns, of rows and of test images."""
        prepared = self.prepared
        rows, images = len(prepared.members.rows), len(prepared.table)
        given = prepared.further
        own = (
            (Further.none(rows), Further.none(images))
            if given is None
            else (given.rows, given.images)
        )
        if prepared.labelled is None:
            return own
        return with_pooled(
            own,
            prepared.bodies,
            (prepared.labelled, prepared.table),
            prepared.members.networks[0].size,
            prepared.folder / STORE_FOLDER / FEATURES_FOLDER,
            self.deadline.is_over,
        )

    def _judge_stack(self, stack: StackColumns, fallback: Judged) -> Judged:
        rows, config = self.prepared.members.rows, self.prepared.config
        judged = judge_methods(
            stack.probability, rows, config.ensemble.measure, [STACK_METHOD], config.run.seed
        )[STACK_METHOD]
        against = compare(judged.honest, fallback.honest, rows.clusters)
        return dataclasses.replace(judged, method=STACK, against_fallback=against)
