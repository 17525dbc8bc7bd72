"""Pictures of a pretraining: some images, and two views of each as the network sees them."""

from pathlib import Path

import numpy as np

from efn_compose.jobs.pretraining.worker import PretrainSetup
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.store import atomic_path
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Objective
from efn_compose.train.recipe.inputs import Inputs
from efn_compose.train.selfsup.table import make_objective
from efn_compose.train.selfsup.watched import Watched

VIEWS_FILE = "views.png"
_IMAGES, _TILE, _GAP = 10, 72, 4


def write_views(folder: Path, data: TrainingData, setup: PretrainSetup, seed: int) -> None:
    """Draw the first images above their two views in the first epoch.

    Args:
        folder: Of the pretraining; gets `views.png`.
        data: The examples.
        setup: Views and augmentation.
        seed: Of the pretraining.
    """
    objective = make_objective("vicreg", setup.pretrain, setup.views)
    inputs = Inputs(data, setup.donor, objective, setup.augment, seed)
    numbers = np.arange(min(_IMAGES, len(data.train_images)))
    pixels, _ = inputs.batch(numbers, 0, 0, data.size)
    scaling = setup.donor.conventions.preprocessing
    seen = np.asarray(pixels) * np.asarray(scaling.std) + np.asarray(scaling.mean)
    rows = [data.train_images[numbers], *np.split(np.clip(np.rint(seen), 0, 255), 2)]
    write_tiles(folder / VIEWS_FILE, [row.astype(np.uint8) for row in rows])


def write_painted(folder: Path, objective: Objective, images: PixelArray) -> None:
    """Draw what a method paints or generates, where it does.

    Args:
        folder: Of the pretraining; gets the objective's `picture_file`.
        objective: With the trained network.
        images: (image, size, size, 3) uint8.
    """
    if not isinstance(objective, Watched):
        return
    rows = objective.pictures(images[:_IMAGES])
    if rows:
        write_tiles(folder / objective.picture_file, rows)


def write_tiles(path: Path, rows: list[np.ndarray]) -> None:
    """Write rows of images as one picture; small images are enlarged, pixel by pixel.

    Args:
        path: A PNG file.
        rows: (image, side, side, 3) uint8 each.
    """
    from PIL import Image

    side = rows[0].shape[1]
    scale = max(1, -(-_TILE // side))
    tile = side * scale + _GAP
    sheet = Image.new("RGB", (tile * len(rows[0]) + _GAP, tile * len(rows) + _GAP), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            picture = Image.fromarray(image).resize((side * scale,) * 2, Image.Resampling.NEAREST)
            sheet.paste(picture, (_GAP + x * tile, _GAP + y * tile))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
