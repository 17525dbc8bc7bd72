"""Asking a network about several views of each image."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.tta.merge import merge_views
from efn_compose.train.tta.views import View


def predict_views(
    predict: Callable[[np.ndarray], np.ndarray],
    images: PixelArray,
    views: Sequence[View],
    *,
    merge: Literal["mean", "median", "rank"] = "mean",
    numbers: np.ndarray | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """Return one row per image from what `predict` says of each of its views.

    Views are made a batch at a time, so memory holds one view of one batch, and the logits.

    Args:
        predict: From images (image, height, width, 3) uint8 to logits (image, class): any
            model, from any library, with its own preprocessing in it.
        images: (image, height, width, 3) uint8.
        views: From `make_views` or your own functions.
        merge: See `merge_views`.
        numbers: (image,) that drawn views draw by; default 0, 1, ….
        batch_size: Images per call of `predict`.

    Returns:
        (image, class) float64: probabilities, or ranks for "rank".

    Example:
        >>> from efn_compose.train.tta import symmetric_views
        >>> def brightness(images):
        ...     return images.mean((1, 2))[:, :2]
        >>> images = np.zeros((3, 8, 8, 3), np.uint8)
        >>> predict_views(brightness, images, symmetric_views("dihedral")).tolist()
        [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """
    numbers = np.arange(len(images)) if numbers is None else np.asarray(numbers)
    starts = range(0, len(images), batch_size)
    logits = [
        np.concatenate(
            [
                np.asarray(
                    predict(
                        view(
                            images[start : start + batch_size], numbers[start : start + batch_size]
                        )
                    )
                )
                for start in starts
            ]
        )
        for view in views
    ]
    return merge_views(np.stack(logits), merge)
