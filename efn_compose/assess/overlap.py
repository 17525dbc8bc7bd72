"""How far masks agree: IoU and Dice, per image and pooled, and thresholds for two classes.

Definitions, one each. Of one class, with p pixels predicted, t true and i in both:
IoU = i / (p + t - i), Dice = 2 i / (p + t). Where neither mask has a pixel of the class both are 1, and
where only one has, both are 0. Class 0 is the background and counts nowhere; pixels of `IGNORED` (255)
neither. A mean over classes is one over those that either mask has, and 1 where there are none: else an
empty answer would be nearly right where an image has few of many classes. *Per image*: the mean over
images of that. *Pooled*: pixels are summed over all images first.
For one pair of sets IoU = Dice / (2 - Dice); `check_identity` holds every table to that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.errors import EvaluationError

#: As `data.masks.IGNORED`: pixels that count nowhere.
IGNORED = 255
#: Thresholds that `best_threshold` compares.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_ROUNDING = 1e-9


def count_overlaps(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """Return the pixels in both, predicted, and true, of each image and class but the background.

    Args:
        predicted: (image, height, width) class numbers.
        true: (image, height, width) class numbers, 255 where unknown.
        classes: Number of classes, background included.

    Returns:
        (image, class - 1, 3) int64: in both, predicted, true.

    Example:
        >>> count_overlaps(np.array([[[1, 1, 0]]]), np.array([[[1, 0, 255]]]), 2).tolist()
        [[[1, 2, 1]]]
    """
    known = true != IGNORED
    found = []
    for number in range(1, classes):
        mine, theirs = (predicted == number) & known, true == number
        found.append([part.sum(axis=(1, 2)) for part in (mine & theirs, mine, theirs)])
    return np.moveaxis(np.array(found, np.int64).reshape(classes - 1, 3, len(true)), 2, 0)


def iou_of(counts: np.ndarray) -> np.ndarray:
    """Return IoU of counts (..., 3).

    Example:
        >>> iou_of(np.array([[1, 2, 1], [0, 0, 0], [0, 5, 0]])).tolist()
        [0.5, 1.0, 0.0]
    """
    both, mine, theirs = np.moveaxis(counts, -1, 0)
    union = mine + theirs - both
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


def dice_of(counts: np.ndarray) -> np.ndarray:
    """Return Dice of counts (..., 3).

    Example:
        >>> dice_of(np.array([[1, 2, 1], [0, 0, 0], [0, 5, 0]])).round(3).tolist()
        [0.667, 1.0, 0.0]
    """
    both, mine, theirs = np.moveaxis(counts, -1, 0)
    total = mine + theirs
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)


def check_identity(iou: np.ndarray, dice: np.ndarray) -> None:
    """Raise `EvaluationError` where IoU and Dice cannot be of the same masks.

    Args:
        iou: Of single pairs of masks, or of pooled ones; means of several do not obey.
        dice: Of the same.

    Example:
        >>> check_identity(np.array([0.5]), np.array([2 / 3]))
    """
    iou, dice = np.asarray(iou, np.float64), np.asarray(dice, np.float64)
    wrong = np.abs(iou - dice / (2 - dice)) > _ROUNDING
    if wrong.any():
        first = int(np.flatnonzero(wrong.ravel())[0])
        raise EvaluationError(
            f"IoU {iou.ravel()[first]:.4f} and Dice {dice.ravel()[first]:.4f} cannot be of the same "
            f"masks: IoU = Dice / (2 - Dice) would be {(dice / (2 - dice)).ravel()[first]:.4f}."
        )


def mean_over_classes(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean score over the classes that either mask has, 1 where there are none.

    Args:
        scores: (..., class - 1), of `iou_of` or `dice_of`.
        counts: (..., class - 1, 3), what they were made from.

    Returns:
        (...).

    Example:
        >>> counts = np.array([[1, 2, 1], [0, 0, 0], [0, 5, 0]])
        >>> float(mean_over_classes(iou_of(counts), counts))
        0.25
    """
    is_there = counts[..., 1:].any(axis=-1)
    number = is_there.sum(axis=-1)
    total = np.where(is_there, scores, 0.0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), 1.0)


def overlap_scores(counts: np.ndarray) -> dict[str, float]:
    """Return IoU and Dice per image ("iou", "dice") and pooled ("iou_pooled", "dice_pooled").

    Args:
        counts: (image, class - 1, 3) of `count_overlaps`.

    Raises:
        EvaluationError: The scores contradict each other.

    Example:
        >>> overlap_scores(np.array([[[1, 1, 2]], [[0, 0, 0]]]))
        {'iou': 0.75, 'dice': 0.8333333333333333, 'iou_pooled': 0.5, 'dice_pooled': 0.6666666666666666}
    """
    found = {}
    for ending, part in (("", counts), ("_pooled", counts.sum(axis=0))):
        iou, dice = iou_of(part), dice_of(part)
        check_identity(iou, dice)
        found[f"iou{ending}"] = float(mean_over_classes(iou, part).mean())
        found[f"dice{ending}"] = float(mean_over_classes(dice, part).mean())
    return found


def to_masks(probability: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """Return the class of each pixel.

    Args:
        probability: (image, height, width, class), of each class.
        threshold: With two classes, the probability from which a pixel is of class 1; None takes the
            most probable class.

    Returns:
        (image, height, width) uint8.

    Example:
        >>> to_masks(np.array([[[[0.6, 0.4], [0.2, 0.8]]]]), threshold=0.3).tolist()
        [[[1, 1]]]
    """
    if threshold is not None and probability.shape[-1] == 2:
        return (probability[..., 1] >= threshold).astype(np.uint8)
    return probability.argmax(axis=-1).astype(np.uint8)


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold for two classes and what it scores on the images that chose it.

    Args:
        threshold: Probability of class 1.
        iou: Pooled over these images: it flatters, since they chose it.
    """

    threshold: float
    iou: float


def best_threshold(
    probability: np.ndarray, true: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> ThresholdChoice:
    """Return the threshold with the largest pooled IoU, of equals the one nearest to a half.

    Args:
        probability: (image, height, width, 2).
        true: (image, height, width) 0, 1, or 255 where unknown.
        thresholds: Candidates.

    Example:
        >>> shares = np.array([[[[0.7, 0.3], [0.9, 0.1]]]])
        >>> best_threshold(shares, np.array([[[1, 0]]])).threshold
        0.3
    """
    of = {
        threshold: float(
            iou_of(count_overlaps(to_masks(probability, threshold), true, 2).sum(0))[0]
        )
        for threshold in thresholds
    }
    chosen = max(thresholds, key=lambda threshold: (of[threshold], -abs(threshold - 0.5)))
    return ThresholdChoice(chosen, of[chosen])
