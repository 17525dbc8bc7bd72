"""Which image stands beside each image: another one of the same patient."""

import numpy as np


def patient_partners(patients: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return another image of each image's patient, (image,) numbers; the image itself where it is alone.

    Each patient's images stand in a circle in random order, and each image gets the next one. So
    every image is the partner of one image in every epoch.

    Args:
        patients: (image,) patient numbers.
        seed: Of the training.
        epoch: Draws other circles.

    Example:
        >>> patient_partners(np.array([0, 1, 0, 2]), seed=1, epoch=0).tolist()
        [2, 1, 0, 3]
    """
    rng = np.random.default_rng([seed, 8, epoch])
    shuffled = rng.permutation(len(patients))
    circles = shuffled[np.argsort(patients[shuffled], kind="stable")]
    owner = patients[circles]
    is_last = np.append(owner[1:] != owner[:-1], True)
    starts = np.flatnonzero(np.insert(is_last[:-1], 0, True))
    following = np.roll(circles, -1)
    following[is_last] = circles[starts]
    partners = np.empty(len(patients), np.int64)
    partners[circles] = following
    return partners


def other_partners(is_second: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return an image of the other class for each image, (image,) numbers.

    Every image of a class is taken as often as any other, give or take one.

    Args:
        is_second: (image,) bool, which of two classes each image is of; both have some.
        seed: Of the training.
        epoch: Draws other partners.

    Example:
        >>> other_partners(np.array([False, False, True, False]), seed=1, epoch=0).tolist()[:2]
        [2, 2]
    """
    rng = np.random.default_rng([seed, 9, epoch])
    partners = np.empty(len(is_second), np.int64)
    for side in (False, True):
        asking, other = np.flatnonzero(is_second == side), np.flatnonzero(is_second != side)
        rounds = [rng.permutation(other) for _ in range(-(-len(asking) // len(other)))]
        partners[asking] = np.concatenate(rounds)[: len(asking)]
    return partners
