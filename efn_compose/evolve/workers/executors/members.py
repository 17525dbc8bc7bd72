"""Workers of a cluster, and the tasks on their way to them, as the driver sees them."""

from dataclasses import dataclass
from typing import Any

from efn_compose.evolve.workers.executors.node_trust import Asked


@dataclass
class Member:
    """One worker.

    Args:
        actor: Ray's handle of its process.
        since: When it was asked for.
        is_known: Whether it has said what it runs.
        is_warm: Whether it has answered a task.
        is_good: Whether its latest answer was no failure.
        is_reported: Whether a person was told that it waits for a place.
        node: Where it is, as it said.
        first_mb: Memory after its first answer.
    """

    actor: Any
    since: float
    is_known: bool = False
    is_warm: bool = False
    is_good: bool = False
    is_reported: bool = False
    node: str = ""
    first_mb: float = 0.0


@dataclass(frozen=True)
class Running:
    """One task on its way.

    Args:
        asked: The task.
        number: Of the worker.
        since: When it was asked.
    """

    asked: Asked
    number: int
    since: float
