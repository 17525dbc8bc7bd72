"""What is measured of pairs of steps, kept in the journal: each pair is measured once."""

from collections.abc import Iterator, Sequence
from typing import Any

from efn_compose.errors import EvaluationError
from efn_compose.evolve.workers.task import Outcome
from efn_compose.jobs.executing import Answering
from efn_compose.jobs.policies.expected import Measured, Pair
from efn_compose.jobs.policies.preparation import PreparedPolicy
from efn_compose.jobs.policies.worker import ScoreTask
from efn_compose.store.journal import Journal

#: The policy that others are compared with, in the journal.
TRIVIAL = "trivial"
#: Pairs of a task: a network is put in its place once for all of them.
_PAIRS = 32


class Measurements:
    """Measurements of pairs of steps by all networks.

    Args:
        prepared: Networks and images.
        journal: Holds those of before; gets a line for each task, with steps, loss and change of all
            its pairs.
        answer: Answers tasks.
    """

    def __init__(self, prepared: PreparedPolicy, journal: Journal, answer: Answering) -> None:
        self._names = [network.name for network in prepared.networks]
        counts = [len(prepared.halves[network.fold or 0][0]) for network in prepared.networks]
        self._weights = [count / sum(counts) for count in counts]
        self._journal, self._answer = journal, answer
        self._known: dict[tuple[str, Any], Measured] = {}
        for record in journal:
            if "network" in record:
                self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        for steps, loss, change in record["measured"]:
            key = steps if steps == TRIVIAL else tuple((name, size) for name, size in steps)
            self._known[record["network"], key] = Measured(loss, change)

    def of(self, pair: Pair) -> Measured:
        """Return the mean over the networks' images under a pair that was measured."""
        return self._mean(pair)

    def trivial(self) -> Measured:
        """Return the mean over the networks' images under TrivialAugment."""
        missing = [n for n, name in enumerate(self._names) if (name, TRIVIAL) not in self._known]
        self._run([ScoreTask(number, ()) for number in missing])
        return self._mean(TRIVIAL)

    def measure(self, pairs: Sequence[Pair]) -> None:
        """Measure those pairs that no line of the journal has.

        Raises:
            EvaluationError: A network could not be asked.
        """
        tasks = []
        for number, name in enumerate(self._names):
            new = sorted(pair for pair in pairs if (name, pair) not in self._known)
            tasks += [
                ScoreTask(number, tuple(new[start : start + _PAIRS]))
                for start in range(0, len(new), _PAIRS)
            ]
        self._run(tasks)

    def _mean(self, key: Pair | str) -> Measured:
        parts = [self._known[name, key] for name in self._names]
        loss = sum(w * part.loss for w, part in zip(self._weights, parts, strict=True))
        change = sum(w * part.change for w, part in zip(self._weights, parts, strict=True))
        return Measured(loss, change)

    def _run(self, tasks: Sequence[ScoreTask]) -> None:
        for task, outcome in in_order(self._answer, tasks):
            name = self._names[task.network]
            if outcome.error is not None:
                raise EvaluationError(f"{name} cannot be asked: {outcome.error}")
            found = [
                [key if key == TRIVIAL else [list(deed) for deed in key], part.loss, part.change]
                for key, part in zip(task.pairs or (TRIVIAL,), outcome.value, strict=True)
            ]
            record = {"network": name, "measured": found}
            self._journal.append({**record, "timing": {"seconds": round(outcome.seconds, 6)}})
            self._take(record)


def in_order(answer: Answering, tasks: Sequence[Any]) -> Iterator[tuple[Any, Outcome]]:
    """Yield tasks with their outcomes in the order of the tasks, whatever workers end first.

    Args:
        answer: Answers tasks as they finish.
        tasks: Different ones.
    """
    waiting: dict[Any, Outcome] = {}
    following = 0
    for task, outcome in answer(tasks) if tasks else ():
        waiting[task] = outcome
        while following < len(tasks) and tasks[following] in waiting:
            yield tasks[following], waiting.pop(tasks[following])
            following += 1
