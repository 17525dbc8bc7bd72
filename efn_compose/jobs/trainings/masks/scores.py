"""The masks of a run of trainings: read and stratified at its beginning, scored at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from efn_compose.assess.overlap import (
    THRESHOLDS,
    best_threshold,
    count_overlaps,
    dice_of,
    iou_of,
    mean_over_classes,
    overlap_scores,
    to_masks,
)
from efn_compose.data import ImageTable, load_table
from efn_compose.data.sources.mask_files import with_mask_files
from efn_compose.data.table import UNLABELLED
from efn_compose.jobs.trainings.options import ImageOptions

#: Columns of the table of scores.
COLUMNS = ("image", "training", "fold", "seed", "iou", "dice", "pixels_true", "pixels_predicted")


@dataclass(frozen=True, eq=False)
class Judged:
    """A training's answers to its validation images.

    Args:
        name: Of the training.
        variant: Its network.
        fold: That validated.
        seed: Of the training.
        numbers: (image,) in the run's table.
        probability: (image, height, width, class).
    """

    name: str
    variant: str
    fold: int
    seed: int
    numbers: np.ndarray
    probability: np.ndarray


def load_masked_table(options: ImageOptions) -> ImageTable:
    """Return a source's images with their masks.

    Raises:
        DataError: The source is missing or damaged, or images have no mask.
    """
    in_table = options.reads_table and not options.masks
    table = load_table(
        options.source,
        options.columns,
        options.folder,
        needs_labels=False,
        needs_masks=in_table,
    )
    return with_mask_files(table, options.masks) if options.masks else table


def stratified(table: ImageTable, foreground: np.ndarray) -> ImageTable:
    """Return a table whose labels let folds have equal shares of foreground.

    A table in which every image has a label keeps them. Otherwise patients with more foreground than
    the median are one class, and those with less another.

    Args:
        table: The images.
        foreground: (image,) share of each mask's pixels. It is of the masks at their own size, so that
            folds are the same at all sizes.
    """
    if len(table.class_names) > 1 and (table.labels != UNLABELLED).all():
        return table
    groups = np.arange(len(table)) if table.groups is None else table.groups
    patients, patient_of = np.unique(groups, return_inverse=True)
    mean = np.bincount(patient_of, foreground) / np.bincount(patient_of)
    has_more = np.empty(len(patients), bool)
    has_more[np.argsort(mean, kind="stable")] = np.arange(len(patients)) >= len(patients) // 2
    labels = has_more[patient_of].astype(np.int32)
    return replace(table, labels=labels, class_names=("less foreground", "more foreground"))


def image_scores(judged: Judged, masks: np.ndarray) -> list[tuple[Any, ...]]:
    """Return IoU and Dice of each image of a training, a row each: number, scores, pixels."""
    true = masks[judged.numbers]
    counts = count_overlaps(to_masks(judged.probability), true, judged.probability.shape[-1])
    iou, dice = (mean_over_classes(score(counts), counts) for score in (iou_of, dice_of))
    pixels = counts.sum(axis=1)[:, [2, 1]]
    return list(zip(judged.numbers.tolist(), iou.tolist(), dice.tolist(), *pixels.T, strict=True))


def assess_masks(
    trainings: Sequence[Judged], masks: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Return what the masks of a network's trainings are worth.

    With two classes a threshold is chosen, too. Where folds take turns, the score at a chosen
    threshold is honest: each fold is scored at what the other folds chose.

    Args:
        trainings: Of one network and seed, a fold each.
        masks: (image, size, size) of the whole table.
        names: Of the classes.

    Returns:
        JSON values.
    """
    numbers = np.concatenate([one.numbers for one in trainings])
    probability = np.concatenate([one.probability for one in trainings])
    true, classes = masks[numbers], probability.shape[-1]
    counts = count_overlaps(to_masks(probability), true, classes)
    found: dict[str, Any] = {
        "images": len(numbers),
        "classes": list(names),
        "scores": overlap_scores(counts),
        "pooled_by_class": {
            name: {"iou": float(iou_of(row)), "dice": float(dice_of(row))}
            for name, row in zip(names[1:], counts.sum(axis=0), strict=True)
            if row.any()
        },
    }
    if classes != 2:
        return found
    chosen = best_threshold(probability, true)
    found["threshold"] = {"chosen": chosen.threshold, "allowed": list(THRESHOLDS)}
    if len(trainings) > 1:
        found["threshold"]["scores_at_what_other_folds_chose"] = _crossed(trainings, masks)
    else:
        found["threshold"]["iou_pooled_on_the_images_that_chose"] = chosen.iou
    return found


def _crossed(trainings: Sequence[Judged], masks: np.ndarray) -> dict[str, float]:
    parts = []
    for one in trainings:
        others = [other for other in trainings if other is not one]
        stated = np.concatenate([other.probability for other in others])
        chosen = best_threshold(stated, masks[np.concatenate([o.numbers for o in others])])
        found = to_masks(one.probability, chosen.threshold)
        parts.append(count_overlaps(found, masks[one.numbers], 2))
    return overlap_scores(np.concatenate(parts))


def assessment_text(found: Mapping[str, Any]) -> str:
    """Return an assessment of `assess_masks` as lines for people."""
    scores = found["scores"]
    lines = [
        f"{found['images']} images that were not trained on",
        f"per image   IoU {scores['iou']:.4f}   Dice {scores['dice']:.4f}",
        f"pooled      IoU {scores['iou_pooled']:.4f}   Dice {scores['dice_pooled']:.4f}",
    ]
    by_class = found["pooled_by_class"]
    if len(by_class) > 1:
        lines += [
            f"  class {name}   IoU {row['iou']:.4f}   Dice {row['dice']:.4f}"
            for name, row in by_class.items()
        ]
    threshold = found.get("threshold", {})
    crossed = threshold.get("scores_at_what_other_folds_chose")
    if crossed:
        lines.append(
            f"threshold {threshold['chosen']:.2f} chosen on these images; each fold at what the others "
            f"chose: IoU {crossed['iou']:.4f} per image, {crossed['iou_pooled']:.4f} pooled"
        )
    elif threshold:
        lines.append(
            f"threshold {threshold['chosen']:.2f} has the best pooled IoU, "
            f"{threshold['iou_pooled_on_the_images_that_chose']:.4f}; it flatters, since these images "
            "chose it"
        )
    return "\n".join(lines)
