"""Evaluations through the journal: what it knows is not run again, what is new is written down.

The search is deterministic given its seed and the scores, so the tasks of a
resumed run come in the order of the journal. Resuming is replaying.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from efn_compose.errors import EvaluationError, ResumeMismatchError
from efn_compose.evolve.executor import Executor
from efn_compose.evolve.tasks import Evaluation, EvaluationTask, Outcome
from efn_compose.store.journal import Journal


class Watcher(Protocol):
    """Told about every evaluation as it becomes known."""

    def on_evaluation(self, record: dict[str, Any], is_replayed: bool) -> None:
        """Take one journal record, replayed or new."""


@dataclass(frozen=True)
class Purpose:
    """Why evaluations are made; stands in every journal line.

    Args:
        phase: "noise", "search", "final" or "test".
        generation: Number of the generation, 0 outside the search.
    """

    phase: str
    generation: int = 0


class Ledger:
    """Answers evaluation tasks from the journal, then from the executor.

    Lines are written in the order of the tasks, whatever order workers finish
    in, so that the journal of a run does not depend on the number of workers.

    Args:
        journal: The run's journal.
        executor: Answers what the journal does not know.
        watcher: Told about every record.
        max_consecutive_failures: Stop with a diagnosis after so many in a row.
    """

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        watcher: Watcher,
        max_consecutive_failures: int = 10,
    ) -> None:
        self._journal, self._executor, self._watcher = journal, executor, watcher
        self._recorded = journal.read()
        self._position = 0
        self._failures = 0
        self._limit = max_consecutive_failures

    @property
    def count(self) -> int:
        """Number of evaluations so far, replayed ones included."""
        return self._position

    def evaluate(
        self,
        purpose: Purpose,
        tasks: Sequence[EvaluationTask],
        arms: Sequence[str] | None = None,
    ) -> list[Evaluation]:
        """Return the evaluations of tasks, in their order.

        Args:
            purpose: Why they are made.
            tasks: What to evaluate.
            arms: A name per task where it stands for something, as in the finals.

        Raises:
            ResumeMismatchError: The journal holds another evaluation at this place.
            EvaluationError: Too many failures in a row.
            RunError: The journal cannot be written.
        """
        names = list(arms) if arms is not None else [""] * len(tasks)
        heads = [_head(purpose, task, name) for task, name in zip(tasks, names, strict=True)]
        evaluations = self._replay(heads)
        fresh = list(tasks[len(evaluations) :])
        held: dict[int, Outcome] = {}
        next_number = 0
        for number, outcome in self._executor.run(fresh):
            held[number] = outcome
            while next_number in held:
                head = heads[len(evaluations)]
                evaluation = self._record(head, held.pop(next_number))
                evaluations.append(evaluation)
                next_number += 1
        if len(evaluations) != len(tasks):
            raise EvaluationError(
                f"The executor answered {len(evaluations)} of {len(tasks)} tasks. "
                "The journal is whole: resume the run."
            )
        return evaluations

    def _replay(self, heads: list[dict[str, Any]]) -> list[Evaluation]:
        evaluations = []
        for head in heads:
            if self._position >= len(self._recorded):
                break
            record = self._recorded[self._position]
            different = {key for key in head if record.get(key) != head[key]}
            if different:
                raise ResumeMismatchError(
                    f"Evaluation {self._position} of the journal differs from the one this run "
                    f"makes in {', '.join(sorted(different))}. The journal was made by another "
                    "version or configuration: start anew with another run path."
                )
            self._position += 1
            self._watcher.on_evaluation(record, is_replayed=True)
            evaluation = _evaluation(record)
            self._count_failure(evaluation.error)
            evaluations.append(evaluation)
        return evaluations

    def _record(self, head: dict[str, Any], outcome: Outcome) -> Evaluation:
        value = outcome.value if outcome.error is None else Evaluation(error=outcome.error)
        record = {
            **head,
            "index": self._position,
            "scores": {part: dict(found) for part, found in value.scores.items()},
            "train_loss": value.train_loss,
            "error": value.error,
            "timing": {
                "seconds": dict(value.seconds),
                "wall_seconds": round(outcome.seconds, 6),
                "worker": outcome.worker,
                "memory_mb": round(outcome.memory_mb, 1),
                "attempts": outcome.attempts,
                "finished": round(time.time(), 3),
            },
        }
        self._journal.append(record)
        self._position += 1
        self._watcher.on_evaluation(record, is_replayed=False)
        self._count_failure(value.error)
        return value

    def _count_failure(self, error: str | None) -> None:
        self._failures = 0 if error is None else self._failures + 1
        if self._failures >= self._limit:
            raise EvaluationError(
                f"{self._failures} evaluations failed in a row, the last one with: {error}. "
                "Nothing is lost: mend the cause and resume the run. A diverging training often "
                "means too high a rate: --set fitness.learning_rate=3e-4 (in a new run path)."
            )


def _head(purpose: Purpose, task: EvaluationTask, arm: str) -> dict[str, Any]:
    """Return the part of a record that is known before the evaluation."""
    return {
        "phase": purpose.phase,
        "generation": purpose.generation,
        "arm": arm,
        "recipe": task.recipe.to_json(),
        "seed": task.seed,
        "epochs": task.epochs,
        "parts": list(task.parts),
    }


def _evaluation(record: dict[str, Any]) -> Evaluation:
    return Evaluation(
        scores=record["scores"],
        train_loss=record["train_loss"],
        error=record["error"],
        seconds=record["timing"]["seconds"],
    )
