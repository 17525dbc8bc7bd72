"""Augmentation: each image its own draws, decided by seed, epoch and image number alone."""

from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.augment.pipeline import augment

__all__ = ["AugmentOptions", "augment"]
