"""Random samples of a table: plain ones, and ones that keep classes in proportion and patients whole."""

import numpy as np

from efn_compose.data.table import ImageTable


def draw_images(table: ImageTable, count: int, seed: int) -> ImageTable:
    """Return about `count` random images, classes in proportion.

    Patients are taken whole, so a few images more may come; the last patient decides.

    Args:
        table: The images.
        count: Images wanted, at least 1; all where the table has no more.
        seed: Decides which.

    Example:
        >>> from efn_compose.data import load_table
        >>> len(draw_images(load_table("digits"), 100, seed=1))
        100
    """
    if count >= len(table):
        return table
    groups = np.arange(len(table)) if table.groups is None else table.groups
    rng = np.random.default_rng([seed, 0x50E])
    patients, first, patient_of = np.unique(groups, return_index=True, return_inverse=True)
    # Patients of a class get places spread evenly over 0 to 1; taken in that order, classes
    # come in proportion, however many are taken.
    place = np.empty(len(patients))
    for label in np.unique(table.labels[first]):
        members = rng.permutation(np.flatnonzero(table.labels[first] == label))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    order = np.argsort(place)
    sizes = np.bincount(patient_of)[order]
    taken = order[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    return table.chosen(np.flatnonzero(np.isin(patient_of, taken)))


def any_images(total: int, count: int, seed: int) -> np.ndarray:
    """Return the numbers of at most `count` of `total` images, drawn at random, ascending.

    Example:
        >>> any_images(100, 3, seed=0).tolist()
        [20, 36, 82]
    """
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def images_of_all_classes(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the numbers of `count` random images, classes taking turns, in the order of classes.

    Args:
        labels: (image,) class numbers.
        count: Images wanted.
        seed: Decides which.

    Example:
        >>> labels = np.array([0, 0, 0, 0, 1, 2])
        >>> labels[images_of_all_classes(labels, 3, seed=0)].tolist()
        [0, 1, 2]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    # How many of its class come before each image: classes take turns.
    turn = np.zeros(len(labels), int)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels[order] == label)
        turn[mine] = np.arange(len(mine))
    chosen = order[np.argsort(turn, kind="stable")[:count]]
    return chosen[np.argsort(labels[chosen], kind="stable")]
