"""The verdict of a pretraining: each result against the donor absorbed on the same images.

A single pretraining is ahead by more than one standard error of the paired difference. By that alone
the luckiest of several equal ones would often be ahead: of nine, in more than half of all runs. So
Holm's rule goes over their Student's t-tests, and a lead counts as as many standard errors as would be
as rare for a single pretraining. Then one of several equal ones is ahead as rarely as a single one, or
more rarely, since all are compared with the same donor.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from efn_compose.assess.studies.lead import holm
from efn_compose.evolve.verdict.verdict import Difference, paired_difference

#: The arm that every pretraining must beat: what the statistics of the same images alone are worth.
ABSORBED = "absorbed"
#: Scores of a judgement, what they are called, and whether lower is better.
SCORES = {
    "loss": ("loss, nats", True),
    "accuracy": ("accuracy", False),
    "ridge": ("ridge probe", False),
    "knn": ("neighbours", False),
}


@dataclass(frozen=True)
class ArmVerdict:
    """One pretraining against the absorbed donor.

    Args:
        name: Of the pretraining.
        differences: Of each score, pretrained minus absorbed, paired over seeds.
        words: One sentence.
        counts_as: Standard errors that the loss is lower by; with several pretrainings, those that would
            be as rare for a single one.
    """

    name: str
    differences: Mapping[str, Difference]
    words: str
    counts_as: float

    @property
    def is_ahead(self) -> bool:
        """Whether the loss of the short training is lower by what counts as more than one error."""
        return self.counts_as > 1

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "differences": {name: asdict(value) for name, value in self.differences.items()},
            "words": self.words,
            "is_ahead": self.is_ahead,
            "counts_as": self.counts_as if math.isfinite(self.counts_as) else None,
        }


def give_verdicts(scores: Mapping[str, Sequence[Mapping[str, float]]]) -> list[ArmVerdict]:
    """Compare every pretraining with the absorbed donor, the lowest mean loss first.

    Args:
        scores: By arm, one set per seed, in the order of seeds; `ABSORBED` among them.

    Example:
        >>> same = {"accuracy": 0.5, "ridge": 0.5, "knn": 0.5}
        >>> scores = {"absorbed": [{"loss": 1.0, **same}, {"loss": 1.2, **same}]}
        >>> scores["vicreg_seed1"] = [{"loss": 0.9, **same}, {"loss": 1.0, **same}]
        >>> print(give_verdicts(scores)[0].words)
        vicreg_seed1 is ahead of the absorbed donor: loss -0.1500 ± 0.0500, accuracy +0.0 ± 0.0 points.
    """
    arms = {name: rows for name, rows in scores.items() if name != ABSORBED}
    found = {
        name: {
            score: paired_difference(_column(rows, score), _column(scores[ABSORBED], score))
            for score in SCORES
        }
        for name, rows in arms.items()
    }
    seeds = len(scores[ABSORBED])
    losses = [differences["loss"] for differences in found.values()]
    ahead = _counted([-_in_errors(loss) for loss in losses], seeds)
    behind = _counted([_in_errors(loss) for loss in losses], seeds)
    verdicts = [
        ArmVerdict(name, differences, _words(name, differences, lead, lag, len(arms)), lead)
        for (name, differences), lead, lag in zip(found.items(), ahead, behind, strict=True)
    ]
    return sorted(verdicts, key=lambda arm: (arm.differences["loss"].mean, arm.name))


def _column(rows: Sequence[Mapping[str, float]], score: str) -> list[float]:
    return [row[score] for row in rows]


def _in_errors(difference: Difference) -> float:
    """Return a difference in standard errors."""
    if difference.standard_error:
        return difference.mean / difference.standard_error
    return math.copysign(math.inf, difference.mean) if difference.mean else 0.0


def _counted(errors: Sequence[float], seeds: int) -> list[float]:
    """Return what leads of several arms count as: standard errors as rare for a single arm.

    Args:
        errors: Standard errors that each arm is ahead by.
        seeds: Of each mean.
    """
    from scipy.special import stdtr, stdtrit

    chances = stdtr(seeds - 1, -np.asarray(errors, float))
    adjusted = holm(chances)
    # What Holm's steps leave alone stays as it is, to the last bit.
    return [
        error if chance == rare else min(error, max(0.0, -float(stdtrit(seeds - 1, rare))))
        for error, chance, rare in zip(errors, chances, adjusted, strict=True)
    ]


def _words(
    name: str, differences: Mapping[str, Difference], lead: float, lag: float, arms: int
) -> str:
    loss, accuracy = differences["loss"], differences["accuracy"]
    place = "is ahead of" if lead > 1 else "is behind" if lag > 1 else "does not beat"
    rule = f" by Holm's rule over {arms} pretrainings" if arms > 1 else ""
    return (
        f"{name} {place} the absorbed donor{rule}: loss {loss.mean:+.4f} ± {loss.standard_error:.4f}, "
        f"accuracy {100 * accuracy.mean:+.1f} ± {100 * accuracy.standard_error:.1f} points."
    )
