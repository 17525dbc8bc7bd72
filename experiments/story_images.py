"""Make the images of story.toml: garments on photographs, of patients made of photographs.

    python experiments/story_images.py                  (writes runs/story_images)

Real are the garments (Fashion-MNIST: apt-get install dataset-fashion-mnist) and the photographs (those
inside scikit-image, of the `parity` extra). A patient is a piece of a photograph, seen in a light of its
own: all its images lie on that piece. The garments are the ten classes, the first one seven times as
frequent as the last. No garment and no patient is in two of the three sets:

    unlabelled/         3,600 images without labels
    labelled.csv        400 images with label and patient
    new.csv             2,000 images to be asked about, with patient
    truth.csv           their labels, which no chapter reads: experiments/story.py does, once
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from efn_compose.data import load_table
from efn_compose.data.table import ImageTable

SIDE, PIECE = 64, 128
#: The photographs of scikit-image that a wheel of it holds, without people.
PHOTOGRAPHS = (
    "coffee", "chelsea", "rocket", "brick", "grass", "gravel", "coins", "moon",
    "immunohistochemistry", "hubble_deep_field",
)  # fmt: skip
#: Images and patients of each set.
SETS = {"unlabelled": (3600, 80), "labelled": (400, 40), "new": (2000, 39)}
#: How much rarer each class is than the one before.
RARER = 0.8


@dataclass(frozen=True)
class Patient:
    """A piece of a photograph in its light.

    Args:
        name: Of the patient.
        piece: (row, column, channel) pixels.
        light: (channel,) factors of everything that is seen there.
    """

    name: str
    piece: np.ndarray
    light: np.ndarray


def make_patients(rng: np.random.Generator) -> list[Patient]:
    """Cut all photographs into pieces, and give each its light."""
    import skimage.data

    pieces = []
    for name in PHOTOGRAPHS:
        pixels = np.asarray(getattr(skimage.data, name)())
        pixels = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels[..., :3]
        pieces += [
            pixels[y : y + PIECE, x : x + PIECE]
            for y in range(0, pixels.shape[0] - PIECE + 1, PIECE)
            for x in range(0, pixels.shape[1] - PIECE + 1, PIECE)
        ]
    return [
        Patient(f"P{number:03d}", pieces[place], rng.uniform(0.55, 1, 3))
        for number, place in enumerate(rng.permutation(len(pieces)))
    ]


def wear(rng: np.random.Generator, patient: Patient, cloth: np.ndarray) -> Image.Image:
    """Return a garment somewhere on a patient.

    Args:
        rng: Decides place, size and colour.
        patient: Whose piece lies behind it.
        cloth: (row, column) grey levels of the garment.
    """
    y, x = rng.integers(0, PIECE - SIDE + 1, 2)
    picture = patient.piece[y : y + SIDE, x : x + SIDE].astype(np.float64)
    side = int(rng.integers(36, 61))
    grey = np.asarray(Image.fromarray(cloth).resize((side, side))).astype(np.float64)
    there = grey > 25
    top, left = rng.integers(0, SIDE - side + 1, 2)
    picture[top : top + side, left : left + side][there] = grey[there][:, None] * rng.uniform(
        0.4, 1, 3
    )
    return Image.fromarray(np.clip(picture * patient.light, 0, 255).astype(np.uint8))


def draw_garments(
    rng: np.random.Generator, table: ImageTable, places: np.ndarray, count: int
) -> Iterator[tuple[np.ndarray, str]]:
    """Yield so many different garments and their classes, which are not equally frequent."""
    share = RARER ** np.arange(len(table.class_names))
    for label in rng.choice(len(share), count, p=share / share.sum()):
        place = places[label].pop()
        yield np.asarray(table.images[place][..., 0]), table.class_names[label]


def write_set(
    folder: Path,
    name: str,
    drawn: Iterator[tuple[np.ndarray, str]],
    patients: list[Patient],
    rng: np.random.Generator,
) -> list[list[str]]:
    """Write the images of a set; return name, label and patient of each."""
    images = folder / name
    images.mkdir(parents=True)
    rows = []
    for number, (cloth, label) in enumerate(drawn):
        patient = patients[rng.integers(len(patients))]
        path = images / f"{name}_{number:04d}.png"
        wear(rng, patient, cloth).save(path)
        rows.append([path.relative_to(folder).as_posix(), label, patient.name])
    return rows


def write_images(folder: Path, seed: int = 1, share: float = 1.0) -> None:
    """Write all sets and tables.

    Args:
        folder: Is made.
        seed: Decides everything.
        share: Of the images of each set, to make fewer.
    """
    rng = np.random.default_rng(seed)
    table = load_table("fashion_mnist")
    numbers = rng.permutation(len(table))
    places = [list(numbers[table.labels[numbers] == label]) for label in range(10)]
    patients = make_patients(rng)
    for name, (count, among) in SETS.items():
        mine, patients = patients[:among], patients[among:]
        drawn = draw_garments(rng, table, places, round(share * count))
        rows = write_set(folder, name, drawn, mine, rng)
        if name == "labelled":
            write_csv(folder / "labelled.csv", ("image", "label", "patient"), rows)
        elif name == "new":
            write_csv(folder / "new.csv", ("image", "patient"), [[r[0], r[2]] for r in rows])
            write_csv(folder / "truth.csv", ("image", "label"), [r[:2] for r in rows])


def write_csv(path: Path, header: tuple[str, ...], rows: list[list[str]]) -> None:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/story_images"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write_images(options.folder, options.seed)
    print(f"{sum(count for count, _ in SETS.values()):,} images are in {options.folder}")


if __name__ == "__main__":
    main()
