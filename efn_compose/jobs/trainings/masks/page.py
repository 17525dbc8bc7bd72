"""A page with the best, the median and the worst masks of a run, drawn over their images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.analysis.html.markup import Html, element, join, name
from efn_compose.analysis.html.report_parts import section
from efn_compose.analysis.page.report import page
from efn_compose.data.png import png_base64

#: Outlines: what is true, and what was found. Both are told apart without colour by their captions.
TRUE_COLOUR, FOUND_COLOUR = (47, 158, 79), (230, 92, 0)
#: A picture has at least so many pixels a side, and a page so many pictures of each kind.
_SIDE, _EACH = 256, 4
_STYLE = (
    ".masks figure{display:inline-block;vertical-align:top;margin:0 1rem 1rem 0}"
    ".masks figcaption{max-width:256px;overflow-wrap:anywhere}"
    ".masks img{display:block;max-width:100%;height:auto}"
    ".key{display:inline-block;width:1.5em;height:.5em;margin-right:.4em}"
)


@dataclass(frozen=True, eq=False)
class MaskPicture:
    """An image with its masks.

    Args:
        name: Of the image.
        image: (side, side, 3) uint8.
        true: (side, side) uint8 classes, 255 where unknown.
        found: (side, side) uint8 classes.
        iou: Of the two masks, mean over classes.
        dice: The same.
    """

    name: str
    image: np.ndarray
    true: np.ndarray
    found: np.ndarray
    iou: float
    dice: float


def chosen_places(scores: np.ndarray, each: int = _EACH) -> dict[str, list[int]]:
    """Return which images are drawn: the best, those around the median, the worst.

    Args:
        scores: (image,), higher is better.
        each: How many of a kind; fewer where there are few images, none twice.

    Example:
        >>> chosen_places(np.array([0.1, 0.9, 0.5, 0.4, 0.8]), each=1)
        {'best': [1], 'median': [2], 'worst': [0]}
    """
    order = np.argsort(-scores, kind="stable")
    each = max(1, min(each, len(order) // 3))
    middle = (len(order) - each) // 2
    places = {
        "best": order[:each],
        "median": order[middle : middle + each],
        "worst": order[::-1][:each],
    }
    seen: set[int] = set()
    found: dict[str, list[int]] = {}
    for kind, numbers in places.items():
        found[kind] = [int(number) for number in numbers if int(number) not in seen]
        seen |= set(found[kind])
    return found


def outline(mask: np.ndarray) -> np.ndarray:
    """Return whether each pixel is the border of its class; the background has none.

    Example:
        >>> outline(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])).sum()
        np.int64(1)
    """
    padded = np.pad(mask, 1, constant_values=0)
    middle = padded[1:-1, 1:-1]
    beside = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    return (middle > 0) & (middle < 255) & np.any([side != middle for side in beside], axis=0)


def overlay(image: np.ndarray, true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return an image, enlarged where it is small, with the outlines of both masks.

    Args:
        image: (side, side, 3) uint8.
        true: (side, side) classes.
        found: (side, side) classes.
    """
    times = max(1, -(-_SIDE // image.shape[0]))
    large = image.repeat(times, axis=0).repeat(times, axis=1).copy()
    for mask, colour in ((true, TRUE_COLOUR), (found, FOUND_COLOUR)):
        large[outline(mask.repeat(times, axis=0).repeat(times, axis=1))] = colour
    return large


def mask_page(title: str, summary: str, pictures: Mapping[str, Sequence[MaskPicture]]) -> str:
    """Return the page as HTML without anything to be loaded.

    Args:
        title: Of the page.
        summary: Scores in words.
        pictures: "best", "median" and "worst", each with its images.
    """
    key = element(
        "p",
        _swatch(TRUE_COLOUR),
        "true outline  ",
        _swatch(FOUND_COLOUR),
        "outline that was found",
    )
    parts = [
        section(kind, kind.capitalize(), [_figure(picture) for picture in shown])
        for kind, shown in pictures.items()
        if shown
    ]
    body = element(
        "div",
        element("header", element("h1", name(title))),
        element("main", element("pre", summary, tabindex="0"), key, *parts),
        class_="page masks",
    )
    return page(title, body, styles=_STYLE)


def _figure(picture: MaskPicture) -> Html:
    drawn = overlay(picture.image, picture.true, picture.found)
    caption = f"{picture.name}: IoU {picture.iou:.3f}, Dice {picture.dice:.3f}"
    side: Any = drawn.shape[0]
    image = element(
        "img",
        src=f"data:image/png;base64,{png_base64(drawn)}",
        alt=f"{picture.name} with both outlines",
        width=side,
        height=side,
    )
    return element("figure", image, element("figcaption", caption))


def _swatch(colour: tuple[int, int, int]) -> Html:
    style = f"background:rgb({','.join(map(str, colour))})"
    return join([element("span", class_="key", style=style)])
