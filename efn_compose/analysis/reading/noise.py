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
    scored = [(e.arm, e.loss) for e in run.by_phase.get("noise", ()) if e.loss is not None]
    if not scored:
        return None
    first, _ = scored[0]
    losses = tuple(loss for arm, loss in scored if arm == first)
    others = tuple(loss for arm, loss in scored if arm != first)
    return Noise(first, losses, others if len(others) == len(losses) else ())
