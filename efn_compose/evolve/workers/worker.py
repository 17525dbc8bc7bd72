"""What executors need of a worker, and of what makes one."""

from typing import Any, Protocol

from efn_compose.errors import EvaluationError
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.seat import Seat, Ticket


class Worker:
    """Owns what tasks work with and what is too large to travel with each of them.

    A subclass adds images, a network, and whatever else its tasks use.

    Example:
        >>> Worker().sits_at("0a")
        False
    """

    def __init__(self) -> None:
        self._seat: Seat | None = None
        self._fingerprint = ""

    @property
    def seat(self) -> Seat:
        """The donors that numbers mean now.

        Raises:
            EvaluationError: The running task was asked without a seat.
        """
        if self._seat is None:
            raise EvaluationError(
                "A task that numbers donors was asked without a seat. Give it one: "
                "executor.run(tasks, seat)."
            )
        return self._seat

    def sits_at(self, fingerprint: str) -> bool:
        """Return whether numbers mean the donors of the seat with this fingerprint."""
        return self._fingerprint == fingerprint

    def sit(self, ticket: Ticket) -> None:
        """Sit at a seat, fetched where this worker sits elsewhere; the one before is let go."""
        if not self.sits_at(ticket.fingerprint):
            self.stand_up()
            self._seat = ticket.fetch()
            self._fingerprint = ticket.fingerprint

    def stand_up(self) -> None:
        """Let the present seat go, before the next one needs its memory."""
        self._seat, self._fingerprint = None, ""


class Setup(Protocol):
    """Makes workers; pickled, and sent to every process that is to have one."""

    def make_worker(self, data: Any, device: Device) -> Worker:
        """Return a worker, made in the process that it will live in.

        Args:
            data: What it works on; one copy for all workers of a machine.
            device: What it runs on.
        """
