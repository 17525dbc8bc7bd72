"""Look at everything that a search needs, one thing after the other."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from efn_compose.jobs.doctor.check import Check
from efn_compose.jobs.doctor.machine import check_data, check_disk, check_machine
from efn_compose.jobs.doctor.software import (
    check_executors,
    check_packages,
    check_python,
    check_tensorflow,
)
from efn_compose.store.environment import describe_environment

LOOKS: tuple[Callable[[], Iterator[Check]], ...] = (
    check_python,
    check_packages,
    check_tensorflow,
    check_executors,
    check_machine,
    check_disk,
    check_data,
)


@dataclass(frozen=True)
class Examination:
    """Everything that was looked at, in order."""

    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        """Whether a search can run here."""
        return all(check.status != "failure" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values, the environment with it."""
        return {
            "is_ready": self.is_ready,
            "checks": [asdict(check) for check in self.checks],
            "environment": describe_environment(),
        }


def examine() -> Examination:
    """Look at this machine and its packages; takes some seconds.

    Example:
        >>> examine().is_ready  # doctest: +SKIP
        True
    """
    return Examination(tuple(check for look in LOOKS for check in look()))
