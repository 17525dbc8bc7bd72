"""The verdict of a pretraining: each result against the donor absorbed on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
    """

    name: str
    differences: Mapping[str, Difference]
    words: str

    @property
    def is_ahead(self) -> bool:
        """Whether the loss of the short training is lower by more than one standard error."""
        return self.differences["loss"].is_clearly_better

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        differences = {name: asdict(value) for name, value in self.differences.items()}
        return {"differences": differences, "words": self.words, "is_ahead": self.is_ahead}


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
    found = [
        _verdict(name, rows, scores[ABSORBED]) for name, rows in scores.items() if name != ABSORBED
    ]
    return sorted(found, key=lambda arm: (arm.differences["loss"].mean, arm.name))


def _verdict(
    name: str, rows: Sequence[Mapping[str, float]], absorbed: Sequence[Mapping[str, float]]
) -> ArmVerdict:
    differences = {
        score: paired_difference([row[score] for row in rows], [row[score] for row in absorbed])
        for score in SCORES
    }
    loss, accuracy = differences["loss"], differences["accuracy"]
    is_equal = not (loss.is_clearly_better or loss.is_clearly_worse)
    place = (
        "is ahead of"
        if loss.is_clearly_better
        else "is behind"
        if not is_equal
        else "does not beat"
    )
    words = (
        f"{name} {place} the absorbed donor: loss {loss.mean:+.4f} ± {loss.standard_error:.4f}, "
        f"accuracy {100 * accuracy.mean:+.1f} ± {100 * accuracy.standard_error:.1f} points."
    )
    return ArmVerdict(name, differences, words)
