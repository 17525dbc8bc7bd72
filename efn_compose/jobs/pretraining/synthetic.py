"""Translated images and their table: every one says in its name, its file and its row what it is."""

import csv
from pathlib import Path

import numpy as np

from efn_compose.jobs.pretraining.images import PretrainImages
from efn_compose.store import atomic_path
from efn_compose.train.objectives.objective import Objective
from efn_compose.train.selfsup.methods.cyclegan import CycleGan

SYNTHETIC_FOLDER, SYNTHETIC_TABLE = "synthetic", "synthetic.csv"
#: What the PNG files say of themselves.
MARK = "synthetic: changed by a network from an image of another class"


def write_synthetic(
    folder: Path, objective: Objective, images: PretrainImages, count: int
) -> Path | None:
    """Write images of each class as the other one, and a table that `csv:PATH` sources read.

    A translated image belongs to the patient of the image that it was made from.

    Args:
        folder: Of the pretraining; gets `synthetic/` with `synthetic.csv`, which is written last.
        objective: With the trained network; others than CycleGAN write nothing.
        images: Of the pretraining.
        count: Of each class; 0 for none.

    Returns:
        The table, or None.
    """
    pair = images.pair
    if not isinstance(objective, CycleGan) or pair is None or not count:
        return None
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    place = folder / SYNTHETIC_FOLDER
    place.mkdir(exist_ok=True)
    mark = PngInfo()
    mark.add_text("Description", MARK)
    rows = []
    for side in (0, 1):
        chosen = np.flatnonzero(pair.labels == side)[:count]
        made = objective.translated(images.unlabelled[pair.numbers[chosen]], 1 - side)
        for number, pixels in zip(chosen.tolist(), made, strict=True):
            name = f"synthetic_{number:06d}.png"
            with atomic_path(place / name) as temporary:
                Image.fromarray(pixels).save(temporary, format="PNG", pnginfo=mark)
            patient = [] if pair.patients is None else [pair.patients[number]]
            label = pair.class_names[1 - side]
            rows.append([name, label, *patient, "synthetic", pair.image_names[number]])
    table = place / SYNTHETIC_TABLE
    known = [] if pair.patients is None else ["patient"]
    with atomic_path(table) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["image", "label", *known, "kind", "made_from"], *rows])
    return table
