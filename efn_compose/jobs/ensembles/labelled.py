"""The labelled images of an ensemble's trainings, where they still are, and what their files tell."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.assess.ensembles.giveaways import giveaways
from efn_compose.assess.prediction_store import RowTable
from efn_compose.config import load_config
from efn_compose.data import ImageTable, load_table
from efn_compose.data.decoding.decode import shape_of_file
from efn_compose.data.table import ImageError
from efn_compose.errors import EfnComposeError
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.store.run_folder import CONFIG_FILE

#: Files that are looked at, at most.
_FILES = 5000


def labelled_images(rows: RowTable, runs: Sequence[str]) -> ImageTable | None:
    """Return the rows' images, None where they are not at their place any more.

    Args:
        rows: The fold table.
        runs: Run folders that were trained on it.
    """
    for run in dict.fromkeys(runs):
        try:
            config: TrainConfig = load_config(Path(run) / CONFIG_FILE, (), TrainConfig)
            found = load_table(config.data.source, config.data.columns, config.data.folder)
        except EfnComposeError:
            continue
        names = [found.image_name(number) for number in range(len(found))]
        if names == list(rows.image):
            return found
        place = {image: number for number, image in enumerate(names)}
        if len(place) == len(names) and all(image in place for image in rows.image):
            return found.chosen(np.array([place[image] for image in rows.image]))
    return None


def already_labelled(rows: RowTable, names: Sequence[str]) -> list[str]:
    """Return a sentence on images to predict that the trainings have learnt from; none if there are none.

    Files are compared by where they lie. A copy elsewhere is not noticed.

    Args:
        rows: The fold table.
        names: Of the images to predict.
    """
    known = {os.path.abspath(name) for name in rows.image}
    found = [name for name in names if os.path.abspath(name) in known and Path(name).is_file()]
    if not found:
        return []
    return [
        f"{len(found)} of {len(names)} images to predict are labelled images of these trainings, such as "
        f"{found[0]}: the networks have seen them, and answers about them say nothing of new images"
    ]


def told_by_files(rows: RowTable) -> list[str]:
    """Return sentences on what tells the classes beside the pictures: order, bytes, pixels.

    Args:
        rows: The fold table; images that are no files here have an order alone.
    """
    chosen = np.arange(len(rows))
    if len(chosen) > _FILES:
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), _FILES, replace=False))
    labels, fold = rows.label[chosen], rows.fold[chosen]
    if any(len(np.unique(labels[fold != f])) < len(rows.class_names) for f in np.unique(fold)):
        return []
    values: dict[str, np.ndarray] = {}
    # A source that lists class by class, in whatever order of the classes, has that order itself.
    if np.count_nonzero(np.diff(rows.label)) >= len(rows.class_names):
        values["The order of the rows"] = chosen
    files = [_file(rows.image[number]) for number in chosen]
    there = [file for file in files if file is not None]
    if len(there) == len(files):
        values["The size of the file"] = np.array([file[0] for file in there])
        values["The number of pixels"] = np.array([file[1] for file in there])
    return [str(found) for found in giveaways(values, labels, fold)]


def _file(name: str) -> tuple[int, int] | None:
    """Return bytes and pixels of an image file; its pixels are not decoded."""
    path = Path(name)
    try:
        if not path.is_file():
            return None
        height, width = shape_of_file(path)
        return path.stat().st_size, width * height
    except (OSError, ValueError, ImageError):
        return None
