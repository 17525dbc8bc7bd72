"""Which of a teacher's answers a student learns from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from efn_compose.errors import DataError


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Chosen unlabelled images and the teacher's labels for them.

    Args:
        images: (row,) int64 image numbers; repeated where a class has too few.
        shares: (row, class) float32 that sum to 1.
        confident: Images, of all, whose answer was sure enough.
    """

    images: np.ndarray
    shares: np.ndarray
    confident: int

    @property
    def counts(self) -> list[int]:
        """Rows per class of the teacher's choice."""
        classes = self.shares.shape[1]
        return np.bincount(self.shares.argmax(axis=1), minlength=classes).tolist()


def pseudo_labels(
    probabilities: np.ndarray,
    *,
    labels: Literal["soft", "hard"] = "soft",
    confidence: float = 0.5,
    balance: bool = True,
    per_class: int = 0,
) -> PseudoLabels:
    """Choose pseudo-labels as Noisy Student does (Xie et al. 2019, section 3.1).

    Args:
        probabilities: (image, class) of the teacher.
        labels: "soft" keeps the probabilities, "hard" the most probable class.
        confidence: Smallest probability of the most probable class.
        balance: Take equally many of each class: the surest, and where there are fewer all of them
            again and again, the surest once more than the others. A class without any stays
            without.
        per_class: How many of each; 0: the confident images over the classes, rounded up.

    Raises:
        DataError: No answer is sure enough.

    Example:
        >>> answers = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.55, 0.45]])
        >>> pseudo_labels(answers, confidence=0.6, per_class=2).images.tolist()
        [0, 1, 2, 2]
    """
    probabilities = np.asarray(probabilities, np.float32)
    best, surest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    kept = np.flatnonzero(surest >= confidence)
    if not len(kept):
        raise DataError(
            f"No pseudo-label has a probability of {confidence:g} or more; the surest of "
            f"{len(probabilities)} has {surest.max(initial=0):.3f}. Lower semi.confidence, or train the "
            "teacher longer."
        )
    images = kept
    if balance:
        wanted = per_class or -(-len(kept) // probabilities.shape[1])
        order = kept[np.argsort(-surest[kept], kind="stable")]
        by_class = [order[best[order] == label] for label in range(probabilities.shape[1])]
        images = np.concatenate([np.resize(mine, wanted) for mine in by_class if len(mine)])
    shares = probabilities[images]
    if labels == "hard":
        shares = np.eye(probabilities.shape[1], dtype=np.float32)[best[images]]
    return PseudoLabels(images, shares, len(kept))
