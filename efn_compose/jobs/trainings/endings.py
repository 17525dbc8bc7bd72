"""What is written when all trainings of a run have ended: assessments of classes, or of masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.errors import DataError
from efn_compose.jobs.trainings.images import PreparedImages, table_of
from efn_compose.jobs.trainings.leaderboard import Standing, folds_text
from efn_compose.jobs.trainings.masks.page import MaskPicture, chosen_places, mask_page
from efn_compose.jobs.trainings.masks.scores import (
    COLUMNS,
    Judged,
    assess_masks,
    assessment_text,
    image_scores,
)
from efn_compose.store import write_text
from efn_compose.store.run_folder import named_folder

if TYPE_CHECKING:
    from efn_compose.jobs.trainings.preparation import PreparedTrainings

#: By training: image numbers, and what was said of each.
Answers = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Ending:
    """What is known at the end.

    Args:
        words: The assessment for people.
        values: The same as JSON values.
        predictions: The table of what was said of each image.
    """

    words: str
    values: Any
    predictions: Path


def end_classes(
    prepared: "PreparedTrainings", answers: Answers, standings: Sequence[Standing]
) -> Ending:
    """Write the out-of-fold predictions and assess those of the best network."""
    from efn_compose.assess.out_of_fold import (
        Predictions,
        assess_mean,
        default_name,
        join_predictions,
        summarise,
        write_predictions,
    )

    config, table = prepared.config, prepared.images.table
    parts = [
        Predictions.of_fold(
            table, *answers[cell.name], fold=cell.fold, seed=cell.seed, variant=cell.variant
        )
        for cell in prepared.cells
        if cell.name in answers
    ]
    predictions = join_predictions(parts)
    path = prepared.folder / default_name()
    write_predictions(predictions, path)
    if config.tta.merge == "rank":
        return Ending("Ranks are no probabilities: nothing to assess.", None, path)
    if config.validation.folds > 1 and not any(row.failed for row in standings):
        summary = summarise(predictions, len(table))
        return Ending(str(summary), summary.to_json(), path)
    own = [
        predictions.of_training(*one)
        for one in predictions.trainings()
        if one[0] == standings[0].variant
    ]
    # Those of the most folds: of other seeds some trainings may have failed.
    folds = max((set(rows.fold) for rows in own), key=len)
    best = [rows for rows in own if set(rows.fold) == folds]
    found = assess_mean(best)
    seeds = [int(rows.seed[0]) for rows in best]
    words = _with_seeds(prepared, seeds, str(found))
    words, values = _with_gaps(prepared, folds, words, found.to_json())
    return Ending(words, values | {"seeds": seeds}, path)


def end_masks(
    prepared: "PreparedTrainings", answers: Answers, standings: Sequence[Standing]
) -> Ending:
    """Write the scores of each image and a page of masks, and assess those of the best network."""
    images = prepared.images
    judged = [
        Judged(cell.name, cell.variant, cell.fold, cell.seed, *answers[cell.name])
        for cell in prepared.cells
        if cell.name in answers
    ]
    masks = _masks(images)
    names = [images.table.image_name(number) for number in range(len(images.table))]
    rows = [
        (names[number], one.name, one.fold, one.seed, f"{iou:.6f}", f"{dice:.6f}", *pixels)
        for one in judged
        for number, iou, dice, *pixels in image_scores(one, masks)
    ]
    path = prepared.folder / "masks.csv"
    write_text(path, table_of(rows, COLUMNS))
    own = [one for one in judged if one.variant == standings[0].variant]
    seeds = [one.seed for one in own]
    # The first seed that has most folds: others may have failed.
    seed = max(seeds, key=seeds.count)
    best = [one for one in own if one.seed == seed]
    found = assess_masks(best, masks, images.folded.mask_names)
    folds = {one.fold for one in best}
    words = _with_seeds(prepared, [seed], assessment_text(found))
    words, found = _with_gaps(prepared, folds, words, found | {"seeds": [seed]})
    title = f"{named_folder(prepared.folder).name}: masks of {best[0].variant}"
    summary = f"{words}\n{_outlines(found)}" if "threshold" in found else words
    page = mask_page(title, summary, _pictures(best, images, names))
    write_text(prepared.folder / "masks.html", page)
    return Ending(words, found, path)


def _with_seeds(prepared: "PreparedTrainings", seeds: Sequence[int], words: str) -> str:
    """Return an assessment that says which of several seeds it is of."""
    if prepared.config.validation.seeds == 1:
        return words
    if len(seeds) > 1:
        return f"mean of {len(seeds)} seeds: {words}"
    return f"seed {seeds[0]} alone: {words}"


def _with_gaps(
    prepared: "PreparedTrainings", folds: Iterable[int], words: str, values: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return an assessment that says which folds are not in it, because their trainings failed."""
    missing = sorted(set(range(prepared.config.validation.folds)).difference(map(int, folds)))
    if not missing:
        return words, values
    head = f"No images of {folds_text(missing)} are in this assessment: trainings failed."
    return f"{head}\n{words}", values | {"missing_folds": missing}


def _outlines(found: Mapping[str, Any]) -> str:
    """Return which masks the page shows: at the chosen threshold their scores would flatter."""
    return (
        "The outlines below are those of the most probable class, which masks.csv scores. `efn-compose "
        f"predict` draws new images from a probability of {found['threshold']['chosen']:.2f} on."
    )


def _masks(images: PreparedImages) -> np.ndarray:
    if images.folded.masks is None:
        raise DataError(f"{images.table.name}: its masks were not read.")
    return images.folded.masks


def _pictures(
    trainings: Sequence[Judged], images: PreparedImages, names: Sequence[str]
) -> dict[str, list[MaskPicture]]:
    """Return the best, median and worst images of some trainings."""
    from efn_compose.assess.overlap import to_masks

    folded = images.folded
    masks = _masks(images)
    scored = [
        (row, to_masks(one.probability[place : place + 1])[0])
        for one in trainings
        for place, row in enumerate(image_scores(one, masks))
    ]
    places = chosen_places(np.array([row[1] for row, _ in scored]))
    return {
        kind: [
            MaskPicture(
                name=Path(names[row[0]]).name,
                image=folded.images[row[0]],
                true=masks[row[0]],
                found=found,
                iou=row[1],
                dice=row[2],
            )
            for row, found in (scored[number] for number in numbers)
        ]
        for kind, numbers in places.items()
    }


#: By `objective.kind`.
ENDINGS = {"classify": end_classes, "segment": end_masks}
