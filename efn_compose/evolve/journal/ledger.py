"""Evaluations through the journal: known ones are not run again, new ones are written down.

The search is deterministic given its seed, the scores and the order in which it
learns them. The journal holds all three, so resuming is replaying.
"""

import itertools
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from efn_compose.errors import EvaluationError, ResumeMismatchError
from efn_compose.evolve.journal.failures import FailureCount
from efn_compose.evolve.journal.run_clock import RunClock
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask, Outcome
from efn_compose.store.journal import Journal

#: Failures of one kind in a row that stop a run with a diagnosis.
_MOST_FAILURES = 10


class Watcher(Protocol):
    """Told about every evaluation as it becomes known."""

    def on_evaluation(self, record: dict[str, Any], is_replayed: bool) -> None:
        """Take one journal record, replayed or new."""


@dataclass(frozen=True)
class Purpose:
    """Why evaluations are made; stands in every journal line.

    Args:
        phase: "noise", "rung", "search", "final" or "test".
        generation: Number of the generation, 0 outside the search.
    """

    phase: str
    generation: int = 0


class Asker(Protocol):
    """A search that is asked for one evaluation at a time."""

    def ask(self) -> tuple[Purpose, EvaluationTask, str] | None:
        """Return the next evaluation with its arm's name; None where none is left."""

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Take the answer to the ask of that number, counted from 0."""


class Ledger:
    """Answers evaluation tasks from the journal, then from the executor.

    Failures that a journal ends with are forgotten and asked again: a run that they stopped would
    otherwise replay them, and stop once more whatever was mended.

    Args:
        journal: The run's journal.
        executor: Answers the tasks that the journal does not know.
        watcher: Told about every record.
        clock: Counts the time used; made anew by default.
    """

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        watcher: Watcher,
        clock: RunClock | None = None,
    ) -> None:
        self._journal, self._executor, self._watcher = journal, executor, watcher
        #: Failures that the journal ended with.
        self.asked_again = journal.drop_last(lambda record: bool(record.get("error")))
        self._recorded = _Recorded(journal)
        self._failures = FailureCount(_MOST_FAILURES)
        self.clock = clock if clock is not None else RunClock()
        #: Number of evaluations so far, replayed ones included.
        self.count = 0

    def evaluate(
        self,
        purpose: Purpose,
        tasks: Sequence[EvaluationTask],
        seat: Seat | Callable[[], Seat],
        arms: Sequence[str] | None = None,
        keep: Callable[[int, Evaluation], None] = lambda number, evaluation: None,
    ) -> list[Evaluation]:
        """Return the evaluations of tasks, in their order.

        Lines are written in the order of the tasks, in any order that workers finish
        in, so that the journal does not depend on the number of workers.

        Args:
            purpose: Why they are made.
            tasks: What to evaluate.
            seat: What their donor numbers mean; a function is called only where the journal
                cannot answer all of them.
            arms: A name per task where it stands for something, as in the finals.
            keep: Called with each new evaluation and its number among the tasks before its line is
                written, to save what the journal does not hold.

        Raises:
            ResumeMismatchError: The journal holds another evaluation at this place.
            EvaluationError: Too many failures in a row.
            RunError: The journal cannot be written.
        """
        names = list(arms) if arms is not None else [""] * len(tasks)
        heads = [_head(purpose, task, name) for task, name in zip(tasks, names, strict=True)]
        evaluations = []
        for head in heads:
            record = self._recorded.next
            if record is None:
                break
            evaluations.append(self._replay(record, head))
        fresh = list(tasks[len(evaluations) :])
        if not fresh:
            return evaluations
        held: dict[int, Outcome] = {}
        next_number = 0
        taken = seat if isinstance(seat, Seat) else seat()
        for position, answer in self._executor.run(fresh, taken):
            held[position] = answer
            while next_number in held:
                number = len(evaluations)
                outcome = held.pop(next_number)
                evaluation = _evaluated(outcome)
                keep(number, evaluation)
                self._record(heads[number], evaluation, outcome)
                evaluations.append(evaluation)
                next_number += 1
        if len(evaluations) != len(tasks):
            raise _lost(len(evaluations), len(tasks))
        return evaluations

    def stream(self, asker: Asker, seat: Seat, ending: Callable[[], dict[str, Any] | None]) -> None:
        """Ask and tell one evaluation at a time: a free worker gets a task at once.

        Lines stand in the order in which answers came. Each says which ask it answers
        and how many had been asked by then: that is all a replay needs, since what is
        asked depends on earlier asks and answers only.

        Args:
            asker: The search.
            seat: The donors that its tasks number.
            ending: Called before every new ask; an event to write down ends the asking.

        Raises:
            ResumeMismatchError, EvaluationError, RunError: As `evaluate`.
        """
        pending: dict[int, tuple[dict[str, Any], EvaluationTask]] = {}
        asked = 0
        has_ended = False

        def ask() -> bool:
            nonlocal asked
            found = asker.ask()
            if found is None:
                return False
            purpose, task, arm = found
            pending[asked] = (_head(purpose, task, arm), task)
            asked += 1
            return True

        while (record := self._recorded.next) is not None and "asked" in record:
            while asked < record["asked"]:
                if not ask():
                    raise self._mismatch({"asked"})
            if "event" in record:
                self._recorded.take()
                has_ended = True
                continue
            if record["ask"] not in pending:
                raise self._mismatch({"ask"})
            head, _ = pending.pop(record["ask"])
            asker.tell(record["ask"], self._replay(record, head))
        if self._recorded.next is not None:
            if pending:
                raise self._mismatch({"phase"})
            return

        # Which ask a position of the executor's answers.
        numbers: dict[int, int] = {}

        def tasks() -> Iterator[EvaluationTask]:
            positions = itertools.count()
            for number, (_, task) in list(pending.items()):
                numbers[next(positions)] = number
                yield task
            while not has_ended:
                event = ending()
                if event is not None:
                    self._write_event({**event, "asked": asked})
                if event is not None or not ask():
                    return
                numbers[next(positions)] = asked - 1
                yield pending[asked - 1][1]

        for position, outcome in self._executor.run(tasks(), seat):
            number = numbers.pop(position)
            head, _ = pending.pop(number)
            evaluation = _evaluated(outcome)
            self._record({**head, "ask": number, "asked": asked}, evaluation, outcome)
            asker.tell(number, evaluation)
        if pending:
            raise _lost(asked - len(pending), asked)

    def goes_on(self, phases: Container[str], ending: Callable[[], dict[str, Any] | None]) -> bool:
        """Return whether a phase goes on: as the journal says, or else as decided now.

        Args:
            phases: Of the lines that another round of it may begin with.
            ending: Returns an event to write down where the phase ends here, None where
                it goes on. What depends on time is decided once, and replayed.
        """
        record = self._recorded.next
        if record is not None:
            if "event" in record:
                self._recorded.take()
                return False
            return record.get("phase") in phases
        event = ending()
        if event is not None:
            self._write_event(event)
        return event is None

    @property
    def is_replaying(self) -> bool:
        """Whether the journal knows the next evaluation."""
        return self._recorded.next is not None

    def _write_event(self, event: dict[str, Any]) -> None:
        timing = {**event.get("timing", {}), "elapsed": round(self.clock.seconds, 3)}
        self._journal.append({**event, "timing": timing})

    def _replay(self, record: dict[str, Any], head: dict[str, Any]) -> Evaluation:
        different = {key for key in head if record.get(key) != head[key]}
        if different:
            raise self._mismatch(different)
        self._recorded.take()
        self._told(record, is_replayed=True)
        return _evaluation(record)

    def _mismatch(self, different: set[str]) -> ResumeMismatchError:
        return ResumeMismatchError(
            f"Evaluation {self.count} of the journal differs from the one this run "
            f"makes in {', '.join(sorted(different))}. The journal was made by another "
            "version or configuration: start anew with another run path."
        )

    def _record(self, head: dict[str, Any], value: Evaluation, outcome: Outcome) -> None:
        record = {
            **head,
            "index": self.count,
            "scores": {part: dict(found) for part, found in value.scores.items()},
            "train_loss": value.train_loss,
            "error": value.error,
            **({"solved": value.solved} if value.solved else {}),
            "timing": {
                "seconds": dict(value.seconds),
                "wall_seconds": round(outcome.seconds, 6),
                "worker": outcome.worker,
                "memory_mb": round(outcome.memory_mb, 1),
                "attempts": outcome.attempts,
                "finished": round(time.time(), 3),
                "elapsed": round(self.clock.seconds, 3),
            },
        }
        self._journal.append(record)
        self._told(record, is_replayed=False)

    def _told(self, record: dict[str, Any], is_replayed: bool) -> None:
        self.count += 1
        self.clock.take(record, is_replayed)
        self._watcher.on_evaluation(record, is_replayed)
        self._failures.take(record["error"])


class _Recorded:
    """The lines a journal held when it was opened, one in view at a time."""

    def __init__(self, journal: Journal) -> None:
        self._records = itertools.islice(journal, len(journal))
        self.next: dict[str, Any] | None = next(self._records, None)

    def take(self) -> None:
        self.next = next(self._records, None)


def _evaluated(outcome: Outcome) -> Evaluation:
    """Return the evaluation of an outcome: the worker's answer, or why there is none."""
    if outcome.error is not None:
        return Evaluation(error=outcome.error)
    answer: Evaluation = outcome.value
    return answer


def _lost(answered: int, asked: int) -> EvaluationError:
    return EvaluationError(
        f"The executor answered {answered} of {asked} tasks. The journal is whole: resume the run."
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
        **({} if task.head_seed is None else {"head_seed": task.head_seed}),
        **({"probe": True} if task.probe else {}),
        **({"gentle": True} if task.gentle else {}),
        **({"per_image": True} if task.per_image else {}),
    }


def _evaluation(record: dict[str, Any]) -> Evaluation:
    return Evaluation(
        scores=record["scores"],
        train_loss=record["train_loss"],
        error=record["error"],
        seconds=record["timing"]["seconds"],
        solved=record.get("solved", ""),
    )
