"""How much luck is in one evaluation: the same donor, several seeds."""

import statistics
from dataclasses import dataclass

from efn_compose.analysis.reading.journal_view import RunView


@dataclass(frozen=True)
class Noise:
    """Spread of the fitness of one donor over seeds.

    Args:
        arm: The donor.
        losses: One validation loss per seed, nats.
        other_losses: A second donor's over the same seeds; empty where it was not run.
    """

    arm: str
    losses: tuple[float, ...]
    other_losses: tuple[float, ...] = ()

    @property
    def centre(self) -> float:
        """Mean loss."""
        return statistics.fmean(self.losses)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.losses) if len(self.losses) > 1 else None


def noise_of(run: RunView) -> Noise | None:
    """Return the noise measurement of a run, None before there is one."""
    evaluations = [e for e in run.by_phase.get("noise", ()) if e.loss is not None]
    if not evaluations:
        return None
    first = evaluations[0].arm
    losses = tuple(e.loss for e in evaluations if e.arm == first)
    others = tuple(e.loss for e in evaluations if e.arm != first)
    return Noise(first, losses, others if len(others) == len(losses) else ())
