"""The images of two classes that CycleGAN changes into each other; the only labels that a method reads."""

from dataclasses import dataclass

import numpy as np

from efn_compose.data import ImageTable
from efn_compose.data.table import UNLABELLED
from efn_compose.errors import ConfigError, DataError
from efn_compose.jobs.pretraining.options import PretrainConfig


@dataclass(frozen=True, eq=False)
class Pair:
    """The images of two classes that CycleGAN changes into each other.

    Args:
        class_names: Of both classes.
        numbers: (image,) numbers of their images among the unlabelled ones.
        labels: (image,) 0 or 1.
        image_names: As the source names these images.
        patients: As the source names their patients; None where it knows none.
    """

    class_names: tuple[str, str]
    numbers: np.ndarray
    labels: np.ndarray
    image_names: tuple[str, ...]
    patients: tuple[str, ...] | None


def find_pair(table: ImageTable, config: PretrainConfig, both: int) -> Pair:
    """Return the images of the two classes that CycleGAN changes into each other.

    Args:
        table: The unlabelled images; here their labels are read.
        config: Names the classes, or leaves them to the source.
        both: How many of the images judge.

    Raises:
        ConfigError: Images that judge are among them.
        DataError: There are no such classes, or too few images of one.
    """
    if both:
        raise ConfigError(
            f"unlabelled.overlap = 'transductive': cyclegan reads labels, and {both} of its images "
            "judge. Set it to 'leave_out'."
        )
    known, asked = tuple(table.class_names), config.pretrain.between
    named = asked or known
    missing = [name for name in named if name not in known]
    if missing or len(named) != 2:
        raise DataError(
            f"pretrain.between: {table.name} has the classes {', '.join(known) or '(none)'}. "
            + (f"Not found: {', '.join(missing)}. " if missing else "")
            + "Name two of them."
        )
    labels = np.full(len(table), UNLABELLED, np.int32)
    for side, name in enumerate(named):
        labels[table.labels == known.index(name)] = side
    counts = np.bincount(labels[labels >= 0], minlength=2)
    batch = config.pretrain.batch_size
    if counts.min() < 2 or counts.sum() < batch:
        raise DataError(
            f"{table.name}: {counts[0]} images of {named[0]}, {counts[1]} of {named[1]}. cyclegan "
            f"needs 2 of each, and a batch of {batch} together (pretrain.batch_size)."
        )
    numbers = np.flatnonzero(labels != UNLABELLED)
    patients = None
    if table.groups is not None:
        patients = tuple(str(table.group_name(int(number))) for number in numbers)
    names = tuple(table.image_name(int(number)) for number in numbers)
    return Pair((named[0], named[1]), numbers, labels[numbers], names, patients)
