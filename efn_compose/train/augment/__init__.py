"""Augmentation: each image its own draws, decided by seed, epoch and image number alone."""

from typing import Any

from efn_compose.train.augment.options import AugmentOptions

__all__ = ["AugmentOptions", "augment", "augment_with_masks"]


def __getattr__(name: str) -> Any:
    # Options are read where TensorFlow is not wanted; only drawing needs it.
    if name not in ("augment", "augment_with_masks"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from efn_compose.train.augment import pipeline

    return getattr(pipeline, name)
