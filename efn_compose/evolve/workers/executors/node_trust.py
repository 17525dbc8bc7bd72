"""Nodes whose workers fail where others do not: a failed task is asked on another node.

A worker that cannot begin, or that lacks a file, answers at once. So it is always free first, and would
answer most tasks with its failure. What another node answers well was the first one's own failure. After
a few of these in a row a node is put aside: its workers stay, so that nothing else is placed there, and
get no tasks.
"""

from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace

from efn_compose.evolve.workers.task import Outcome, Task

#: Failures of its own in a row that put a node aside, and failures of it that may wait for another's word.
FEW = 3


@dataclass(frozen=True)
class Asked:
    """A task, and what became of it so far.

    Args:
        position: Of the task.
        task: What is asked.
        attempt: How often it is asked with this one.
        deaths: Workers that died of it, or were killed since they gave no answer.
        failures: By node on which it failed, the reason.
    """

    position: int
    task: Task
    attempt: int = 1
    deaths: int = 0
    failures: dict[str, str] = field(default_factory=dict)


class NodeTrust:
    """Tells a node's failures from those of tasks.

    Args:
        note: Told when a node is put aside.

    Example:
        >>> trust = NodeTrust(lambda note: print(note.partition(" The")[0]))
        >>> for number in range(3):
        ...     asked = trust.died(Asked(number, None), "a", "no disk", {"a", "b"})
        ...     trust.answered(asked, "b", {"a", "b"})
        Node a is put aside: others did not have its last 3 failures (no disk).
        >>> trust.aside
        {'a'}
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        #: By node, its failures that wait for another's word, and those in a row that were its own.
        self._open: Counter[str] = Counter()
        self._own: Counter[str] = Counter()
        #: Nodes that get no tasks while there are others.
        self.aside: set[str] = set()

    def begin(self) -> None:
        """Forget failures of tasks that nobody waits for any more."""
        self._open.clear()

    def may_take(self, node: str, asked: Asked | None, nodes: Set[str]) -> bool:
        """Return whether a node is to get a task now.

        Args:
            node: It.
            asked: A task that failed elsewhere; None for a new one.
            nodes: All that have workers.
        """
        others = nodes - self.aside
        if others and node not in others:
            return False
        if asked is None:
            return self._open[node] + self._own[node] < FEW
        return node not in asked.failures or not others - asked.failures.keys()

    def answered(self, asked: Asked, node: str, nodes: Set[str]) -> None:
        """Take a good answer: where the task failed before, that was the other node's own failure.

        Args:
            asked: The task.
            node: Where it was answered.
            nodes: All that have workers; one that has left is not judged.
        """
        self.close(asked)
        self._own[node] = 0
        for other, reason in asked.failures.items():
            if other != node and other in nodes:
                self._count(other, reason)

    def doubted(self, asked: Asked, node: str, outcome: Outcome, nodes: Set[str]) -> Asked | None:
        """Return a failed task as it is to be asked on another node; None where its failure stands.

        It stands where there is no node left that it was not asked on.

        Args:
            asked: The task.
            node: Where it failed, in a worker whose answer before was no good one either. Failures
                of others are those of tasks.
            outcome: The failure.
            nodes: All that have workers.
        """
        if not self._has_others(asked, node, nodes):
            self.close(asked)
            return None
        return self._elsewhere(asked, node, str(outcome.error))

    def died(self, asked: Asked, node: str, reason: str, nodes: Set[str]) -> Asked:
        """Return a task whose worker died as it is to be asked again, on another node if there is one.

        Args:
            asked: The task.
            node: Where the worker was.
            reason: In words.
            nodes: All that have workers.
        """
        asked = replace(asked, deaths=asked.deaths + 1)
        if self._has_others(asked, node, nodes):
            return self._elsewhere(asked, node, reason)
        self.close(asked)
        return replace(asked, attempt=asked.attempt + 1, failures={})

    def _has_others(self, asked: Asked, node: str, nodes: Set[str]) -> bool:
        return bool(nodes - self.aside - asked.failures.keys() - {node})

    def _elsewhere(self, asked: Asked, node: str, reason: str) -> Asked:
        self._open[node] += node not in asked.failures
        failures = {**asked.failures, node: reason}
        return replace(asked, attempt=asked.attempt + 1, failures=failures)

    def close(self, asked: Asked) -> None:
        """Wait no longer for another node's word on a task."""
        for node in asked.failures:
            self._open[node] = max(0, self._open[node] - 1)

    def _count(self, node: str, reason: str) -> None:
        self._own[node] += 1
        if self._own[node] == FEW and node not in self.aside:
            self.aside.add(node)
            self._note(
                f"Node {node} is put aside: others did not have its last {FEW} failures ({reason}). "
                "The run goes on with these. Ray started anew on it is taken in."
            )
