"""Images with a bright disc each, and masks of it: a network of two blocks learns them in seconds."""

import numpy as np
from random_donors import TINY, random_donor

from efn_compose.donors import Donor
from efn_compose.train.recipe import TrainingData


def discs(count: int = 48, side: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images (image, side, side, 3) with one disc, and masks with 1 on it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    centre = rng.uniform(0.25, 0.75, (count, 2, 1, 1)) * side
    radius = rng.uniform(0.15, 0.3, (count, 1, 1)) * side
    masks = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < radius**2
    images = rng.integers(20, 90, (count, side, side, 3)) + 120 * masks[..., None]
    return images.astype(np.uint8), masks.astype(np.uint8)


def disc_data(count: int = 48, validation: int = 16) -> TrainingData:
    """Return discs to train and to validate on."""
    images, masks = discs(count)
    others, their_masks = discs(validation, seed=1)
    unknown = [np.full(len(part), -1, np.int32) for part in (images, others)]
    return TrainingData(
        (), images, unknown[0], others, unknown[1], masks, their_masks, ("background", "disc")
    )


def disc_donor(seed: int = 0) -> Donor:
    """Return random weights of the two blocks, calibrated on discs."""
    return random_donor(TINY, seed, name="tiny", classes=None, images=discs(8)[0])
