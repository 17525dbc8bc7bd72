"""Seats: what the donor numbers of tasks mean."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from efn_compose.compose import GenomeSpace
from efn_compose.compose.averaging import Tensors
from efn_compose.errors import InvalidGenomeError


@dataclass(frozen=True, eq=False)
class Seat:
    """What the donor numbers of tasks mean: a genome space, and the tensors of each donor.

    A task says "donor 3" or names a genome; which weights these are, its seat says. Tasks are
    small and travel each time. A seat is large and travels to a worker once: with each task goes
    only its fingerprint, and a worker that sits at another seat asks for this one first.

    Args:
        space: What genomes mean.
        donors: Arrays by canonical name, one mapping per donor number. Treat them as read-only.

    Raises:
        InvalidGenomeError: The space numbers more or fewer donors.

    Example:
        >>> seat = Seat(space, [donor.tensors for donor in donors])  # doctest: +SKIP
        >>> outcomes = dict(executor.run(tasks, seat))  # doctest: +SKIP
    """

    space: GenomeSpace
    donors: Sequence[Tensors]

    def __post_init__(self) -> None:
        if len(self.donors) != self.space.donor_count:
            raise InvalidGenomeError(
                f"The space of a seat numbers {self.space.donor_count} donors. Received "
                f"{len(self.donors)}."
            )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the space and all tensors; equal seats have equal ones."""
        digest = hashlib.sha256(self.space.fingerprint.encode())
        # The dead of a generation hold the place of one tensor mapping many times.
        known: dict[int, bytes] = {}
        for donor in self.donors:
            if id(donor) not in known:
                known[id(donor)] = _digest(donor)
            digest.update(known[id(donor)])
        return digest.hexdigest()

    def fetch(self) -> "Seat":
        """Return this seat: whoever holds it needs no fetching."""
        return self


class Ticket(Protocol):
    """A seat by name: what travels with a task in the seat's place."""

    @property
    def fingerprint(self) -> str:
        """The seat's fingerprint."""

    def fetch(self) -> Seat:
        """Return the seat, wherever it is kept."""


def _digest(donor: Tensors) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(donor):
        values = np.ascontiguousarray(donor[name])
        digest.update(f"{name} {values.dtype.str} {values.shape};".encode())
        digest.update(values.data)
    return digest.digest()
