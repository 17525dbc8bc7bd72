"""Augmentation: each image its own draws, decided by seed, epoch and image number alone."""

from typing import Any

from efn_compose.train.augment.options import AugmentOptions

__all__ = ["AugmentOptions", "augment"]


def __getattr__(name: str) -> Any:
    # Options are read where TensorFlow is not wanted; only drawing needs it.
    if name != "augment":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from efn_compose.train.augment.pipeline import augment

    return augment
