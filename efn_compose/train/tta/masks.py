"""Several views of an image whose answers are masks: each answer is turned back before they are merged."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np

from efn_compose.errors import ConfigError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.tta.views import View, as_it_is, turned

_CHUNK = 32


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of the last axis, float32.

    Example:
        >>> softmax(np.zeros((1, 1, 1, 2), np.float32)).tolist()
        [[[[0.5, 0.5]]]]
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def turned_back(view: View, maps: np.ndarray) -> np.ndarray:
    """Return maps of a view as the image lies.

    Args:
        view: Of `symmetric_views`, or the image as it is.
        maps: (image, height, width, class), of the images that the view gave.

    Raises:
        ConfigError: The view cannot be undone.

    Example:
        >>> from efn_compose.train.tta import symmetric_views
        >>> image = np.arange(12).reshape(1, 2, 2, 3)
        >>> all((turned_back(view, view(image, np.arange(1))) == image).all()
        ...     for view in symmetric_views("dihedral"))
        True
    """
    if view is as_it_is:
        return maps
    if not (isinstance(view, partial) and view.func is turned):
        raise ConfigError(
            "Masks of crops and drawn views cannot be laid back on their image. Set tta.views to "
            "'none', 'flip', 'flips' or 'dihedral'."
        )
    turns, mirrored = view.keywords["turns"], view.keywords["mirrored"]
    back = maps[:, :, ::-1] if mirrored else maps
    return np.ascontiguousarray(np.rot90(back, -turns, axes=(1, 2)))


def predict_mask_views(
    predict: Callable[[np.ndarray], np.ndarray],
    images: PixelArray,
    views: Sequence[View],
    *,
    merge: Literal["mean", "median", "rank"] = "mean",
) -> np.ndarray:
    """Return the probability of each class of each pixel from several views of each image.

    Args:
        predict: From images (image, height, width, 3) uint8 to logits (image, height, width, class).
        images: (image, height, width, 3) uint8.
        views: Views that can be undone.
        merge: "mean" or "median" of the probabilities, the latter rescaled to sum to 1.

    Returns:
        (image, height, width, class) float32.

    Raises:
        ConfigError: A view cannot be undone, or ranks are asked for.
    """
    if merge == "rank":
        raise ConfigError("Ranks order images, not pixels. Set tta.merge to 'mean' or 'median'.")
    parts = []
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK]
        numbers = np.arange(start, start + len(part))
        found = [turned_back(view, softmax(predict(view(part, numbers)))) for view in views]
        parts.append(found[0] if len(found) == 1 else _merged(np.stack(found), merge))
    return np.concatenate(parts) if parts else softmax(predict(images[:0]))


def _merged(stated: np.ndarray, merge: str) -> np.ndarray:
    if merge == "mean":
        return stated.mean(axis=0)
    middle = np.median(stated, axis=0)
    return (middle / middle.sum(axis=-1, keepdims=True)).astype(np.float32)
