"""Ways to look at an image: flips and quarter turns, crops, and draws of the augmentation."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from efn_compose.errors import ConfigError
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.tta.options import TtaOptions

#: Takes images (image, height, width, 3) uint8 and their numbers, gives images of the same form.
View = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: (quarter turns, mirrored left-right), the views of each kind in order.
_SYMMETRIES = {
    "flip": ((0, False), (0, True)),
    "flips": ((0, False), (0, True), (2, False), (2, True)),
    "dihedral": tuple((turns, mirrored) for turns in range(4) for mirrored in (False, True)),
}
#: Place of each crop, as shares of the free space: (from the left, from the top).
_PLACES = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))


def as_it_is(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the images."""
    return images


def symmetric_views(kind: Literal["flip", "flips", "dihedral"]) -> list[View]:
    """Return exact views; 8 of a square are a group, so that their mean answer has its symmetry.

    Example:
        >>> image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
        >>> [int(view(image, np.arange(1))[0, 0, 0, 0]) for view in symmetric_views("flip")]
        [0, 3]
    """
    return [
        partial(turned, turns=turns, mirrored=mirrored) for turns, mirrored in _SYMMETRIES[kind]
    ]


def crop_views(share: float = 0.875) -> list[View]:
    """Return the whole, the centre and the four corners, each scaled to the image's size.

    Args:
        share: Side of a crop as a share of the image's side, above 0 and at most 1.

    Raises:
        ConfigError: Another share.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share of a crop must be above 0 and at most 1. Received: {share!r}.")
    return [as_it_is, *(partial(_cropped, share=share, place=place) for place in _PLACES)]


def drawn_views(options: AugmentOptions, count: int, seed: int) -> list[View]:
    """Return the image as it is and `count - 1` draws of an augmentation.

    Which draws an image gets depends on its number, the view and the seed alone.

    Example:
        >>> len(drawn_views(AugmentOptions(rotation=20), 5, seed=1))
        5
    """
    return [
        as_it_is,
        *(partial(_drawn, options=options, seed=seed, view=view) for view in range(1, count)),
    ]


def make_views(
    options: TtaOptions, augment: AugmentOptions | None = None, seed: int = 0
) -> list[View]:
    """Return the views that options ask for.

    Args:
        options: The `[tta]` section.
        augment: What "drawn" draws from; default mirrors left-right.
        seed: Of "drawn".

    Example:
        >>> len(make_views(TtaOptions(views="dihedral")))
        8
    """
    if options.views == "none":
        return [as_it_is]
    if options.views == "crops":
        return crop_views(options.crop)
    if options.views == "drawn":
        return drawn_views(augment or AugmentOptions(), options.count, seed)
    return symmetric_views(options.views)


def turned(images: np.ndarray, numbers: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """Return images after quarter turns to the left, then mirrored left-right where asked for.

    Raises:
        ConfigError: An odd number of quarter turns, and images that are not square.
    """
    if turns % 2 and images.shape[1] != images.shape[2]:
        raise ConfigError(
            "quarter turns need square images; take 'flips'. Received: "
            f"{images.shape[1]} x {images.shape[2]} pixels."
        )
    turned = np.rot90(images, turns, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if mirrored else turned)


def _cropped(
    images: np.ndarray, numbers: np.ndarray, share: float, place: tuple[float, float]
) -> np.ndarray:
    from PIL import Image

    height, width = images.shape[1:3]
    left, top = place[0] * (1 - share) * width, place[1] * (1 - share) * height
    box = (left, top, left + share * width, top + share * height)
    seen = [
        Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box)
        for image in images
    ]
    return np.stack([np.asarray(image) for image in seen])


def _drawn(
    images: np.ndarray, numbers: np.ndarray, options: AugmentOptions, seed: int, view: int
) -> np.ndarray:
    from efn_compose.train.augment import augment

    seen = augment(images, numbers, options, seed=seed, epoch=view).numpy()
    return np.rint(seen).astype(np.uint8)
