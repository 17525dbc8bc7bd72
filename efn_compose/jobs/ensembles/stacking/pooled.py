"""Pooled features of networks that never saw the labels, as columns for second-level models."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from efn_compose.data import ImageTable
from efn_compose.data.identity import image_marks
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.seen_images import known_part
from efn_compose.errors import ConfigError, EfnComposeError, RunError, describe_problems
from efn_compose.jobs.ensembles.asked import OutOfTimeError
from efn_compose.jobs.ensembles.stacking.inputs import Further
from efn_compose.jobs.predictions.stream import stream_images
from efn_compose.store.arrays import read_sealed, write_sealed

#: Where features lie within the prediction store's folder; directions that are kept of each network.
FEATURES_FOLDER, COMPONENTS = "pooled", 16


def load_bodies(files: Sequence[str], runs: Sequence[str]) -> tuple[Donor, ...]:
    """Load the networks.

    Args:
        files: Weight files.
        runs: Run folders whose networks were trained on the labels.

    Raises:
        ConfigError: A file cannot be read, or lies in one of the runs; all are listed.
    """
    found, problems = [], []
    homes = [Path(run).resolve() for run in runs]
    for file in files:
        path = Path(file)
        if any(home in path.resolve().parents for home in homes):
            problems.append(
                f"- {file}: trained on these labels, so its features of labelled rows know them. Give "
                "the weights that the trainings began with"
            )
            continue
        try:
            found.append(load_donor(path).without_head())
        except EfnComposeError as error:
            problems.append(f"- {file}: {error}")
    if problems:
        raise ConfigError(describe_problems("stack.features cannot be used.", problems))
    return tuple(found)


def check_unseen(bodies: Sequence[Donor], labelled: ImageTable) -> None:
    """Refuse networks that have learnt from labels of the rows, wherever their files lie.

    Args:
        bodies: The networks.
        labelled: The labelled rows' images.

    Raises:
        ConfigError: Some have; all are listed.
    """
    marks, problems = image_marks(labelled.images), []
    for body in bodies:
        known = known_part(body, marks)
        if known:
            problems.append(
                f"- {body.name}: it has learnt from labels of {known} of these images, "
                "so its features know them. Give the weights that the trainings began with"
            )
    if problems:
        raise ConfigError(describe_problems("stack.features cannot be used.", problems))


def with_pooled(
    further: tuple[Further, Further],
    bodies: Sequence[Donor],
    tables: tuple[ImageTable, ImageTable],
    size: int,
    folder: Path,
    is_late: Callable[[], bool] = lambda: False,
) -> tuple[Further, Further]:
    """Return the user's columns with the main directions of each network's features beside them.

    Directions are those of labelled rows; no label plays a part.

    Args:
        further: Columns of labelled rows and of test images.
        bodies: The networks.
        tables: Labelled rows and test images.
        size: Pixels of both.
        folder: Keeps the features, float16, so that a killed job asks each network once.
        is_late: No further batch is asked about once this is true.

    Raises:
        OutOfTimeError: It became late. What has been asked to the end is kept.
    """
    for body in bodies:
        known, asked = (
            _features(body, table, size, folder / f"{body.fingerprint[:12]}_{part}.npy", is_late)
            for part, table in zip(("rows", "images"), tables, strict=True)
        )
        middle, basis = _directions(known)
        further = (
            _beside(further[0], (known - middle) @ basis),
            _beside(further[1], (asked - middle) @ basis),
        )
    return further


def _features(
    body: Donor, table: ImageTable, size: int, path: Path, is_late: Callable[[], bool]
) -> np.ndarray:
    with suppress(RunError):
        kept = read_sealed(path)
        if len(kept) == len(table):
            return kept.astype(np.float64)
    from efn_compose.models.memory import inference_batch
    from efn_compose.models.stepwise import StepwiseNetwork

    network, step = StepwiseNetwork.of(body), inference_batch(body.spec, size)
    parts = []
    for numbers, pixels in stream_images(table, (size,)):
        for start in range(0, len(numbers), step):
            if is_late():
                raise OutOfTimeError
            parts.append(network.run(body.preprocess(pixels[size][start : start + step])).numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    found = np.concatenate(parts).astype(np.float16)
    write_sealed(path, found)
    return found.astype(np.float64)


def _directions(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and main directions (feature, direction), each with a sign of its own."""
    middle = known.mean(axis=0)
    _, vectors = np.linalg.eigh((known - middle).T @ (known - middle))
    basis = vectors[:, ::-1][:, : min(COMPONENTS, len(known) - 1)]
    largest = np.abs(basis).argmax(axis=0)
    return middle, basis * np.sign(basis[largest, np.arange(basis.shape[1])])


def _beside(further: Further, values: np.ndarray) -> Further:
    numbers = np.concatenate([further.numbers, values.astype(np.float32)], axis=1)
    return Further(numbers, further.codes)
