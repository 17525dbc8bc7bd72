"""A picture of images as the network will see them: images down, draws across."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.errors import ConfigError
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.augment.parts import parts_of

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

_GAP, _MARGIN, _LINE = 6, 14, 15
_LABEL_WIDTH, _CAPTION_LINES = 120, 4
#: Small images are enlarged, pixel by pixel, to at least this.
_SMALLEST_TILE = 96
_INK, _FAINT, _PAPER = "#1d1d1f", "#6b6b70", "#ffffff"


@dataclass(frozen=True)
class Column:
    """One column of a sheet.

    Args:
        group: Its heading, written once above neighbours of one group.
        caption: The change that was made.
        images: (image, size, size, 3) uint8.
        notes: A line below each image, or none.
    """

    group: str
    caption: str
    images: np.ndarray
    notes: tuple[str, ...] = ()


def sheet_columns(
    images: np.ndarray,
    numbers: np.ndarray,
    options: AugmentOptions,
    *,
    draws: int = 4,
    seed: int = 0,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    augmix: bool = False,
) -> list[Column]:
    """Return the original, each part alone, and draws of all parts together.

    A part alone is shown at its full probability, and with what it draws in the first of
    the draws together. Draw k is that of epoch k.

    Args:
        images: (image, size, size, 3) uint8.
        numbers: (image,) their numbers, which decide the draws: a training has those of its own part.
        options: What to show.
        draws: Columns of all parts together.
        seed: Of the training.
        mixup: Alpha; a column of each image mixed with the one above it. 0: none.
        cutmix: The same with a box.
        augmix: A column of AugMix.

    Raises:
        ConfigError: Fewer than 1 draw, or an option that does not fit the images' size.
    """
    from efn_compose.train.augment.pipeline import augment

    if draws < 1:
        raise ConfigError(f"draws must be 1 or more. Received: {draws}.")

    def seen(what: AugmentOptions, epoch: int) -> np.ndarray:
        return np.rint(augment(images, numbers, what, seed=seed, epoch=epoch).numpy()).astype(
            np.uint8
        )

    columns = [Column("", "as it is", images)]
    columns += [
        Column("each part alone, always on", part.caption, seen(part.alone, 0))
        for part in parts_of(options)
    ]
    columns += _mixed(images, numbers, seed, mixup, cutmix, augmix)
    columns += [
        Column("what the network sees", f"epoch {epoch}", seen(options, epoch))
        for epoch in range(draws)
    ]
    return columns


def _mixed(
    images: np.ndarray, numbers: np.ndarray, seed: int, mixup: float, cutmix: float, augmix: bool
) -> list[Column]:
    import tensorflow as tf

    from efn_compose.train.augment import mix
    from efn_compose.train.augment.draws import Draws

    found = []
    floats = tf.cast(images, tf.float32)
    # One class per image: the label says which share of which image is in the mixture.
    labels = tf.eye(len(images))
    for name, alpha, function in (("mixup", mixup, mix.mixup), ("cutmix", cutmix, mix.cutmix)):
        if not alpha:
            continue
        seen, shares = function(floats, labels, tf.constant([seed, 0]), alpha)
        notes = [f"{own:.0%} / {1 - own:.0%}" for own in np.diagonal(shares.numpy()).tolist()]
        pixels = np.rint(seen.numpy()).astype(np.uint8)
        caption = f"{name}, alpha = {alpha:g}: own / row above"
        found.append(Column("mixed", caption, pixels, tuple(notes)))
    if augmix:
        seen = mix.augmix(floats, Draws(tf.constant(numbers), 0, seed))
        pixels = np.rint(np.clip(seen.numpy(), 0, 255)).astype(np.uint8)
        found.append(Column("mixed", "augmix", pixels))
    return found


def draw_sheet(
    columns: Sequence[Column], labels: Sequence[str], title: str, legend: Sequence[str] = ()
) -> "Image.Image":
    """Return a contact sheet as a picture; needs no display.

    Args:
        columns: From `sheet_columns`.
        labels: What each row is, one per image.
        title: Above everything.
        legend: Lines below everything.

    Example:
        >>> images = np.zeros((2, 32, 32, 3), np.uint8)
        >>> draw_sheet([Column("", "as it is", images)], ["cat", "dog"], "two images").size[0]
        244
    """
    from PIL import Image, ImageDraw

    side = columns[0].images.shape[1]
    scale = max(1, -(-_SMALLEST_TILE // side))
    tile = side * scale
    note = _LINE if any(column.notes for column in columns) else 0
    head = _MARGIN + 2 * _LINE + (_CAPTION_LINES + 1) * _LINE
    step_x, step_y = tile + _GAP, tile + _GAP + note
    width = _MARGIN + _LABEL_WIDTH + len(columns) * step_x - _GAP + _MARGIN
    signs = max(20, (width - 2 * _MARGIN) // 6)
    below = [line for text in legend for line in textwrap.wrap(text, signs, subsequent_indent="  ")]
    height = head + len(labels) * step_y + _MARGIN + len(below) * _LINE + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    small, large = _font(11), _font(14)
    pen.text((_MARGIN, _MARGIN), _plain(title), _INK, large)
    last_group = ""
    for place, column in enumerate(columns):
        x = _MARGIN + _LABEL_WIDTH + place * step_x
        if column.group != last_group:
            _write_group(pen, columns, place, x, step_x, small)
        last_group = column.group
        lines = textwrap.wrap(column.caption.replace("_", " "), tile // 6)[:_CAPTION_LINES]
        # Captions stand on the images.
        y = head - _LINE * len(lines) - 4
        pen.multiline_text((x, y), "\n".join(lines), _INK, small, spacing=_LINE - 11)
        for row, image in enumerate(column.images):
            top = head + row * step_y
            big = Image.fromarray(image).resize((tile, tile), Image.Resampling.NEAREST)
            sheet.paste(big, (x, top))
            if column.notes:
                pen.text((x, top + tile + 1), column.notes[row], _FAINT, small)
    for row, label in enumerate(labels):
        lines = textwrap.wrap(_plain(label), 17)[:4]
        pen.multiline_text(
            (_MARGIN, head + row * step_y + 2), "\n".join(lines), _INK, small, spacing=_LINE - 11
        )
    for place, line in enumerate(below):
        y = head + len(labels) * step_y + _MARGIN + place * _LINE
        pen.text((_MARGIN, y), _plain(line), _FAINT, small)
    return sheet


def _write_group(
    pen: "ImageDraw.ImageDraw",
    columns: Sequence[Column],
    place: int,
    x: int,
    step: int,
    font: "ImageFont.FreeTypeFont | ImageFont.ImageFont",
) -> None:
    """Write a group's name over its columns, with a rule below it."""
    group = columns[place].group
    count = 0
    while place + count < len(columns) and columns[place + count].group == group:
        count += 1
    y = _MARGIN + 2 * _LINE
    name = "\n".join(textwrap.wrap(group, max(14, count * step // 6))[:1])
    pen.text((x, y - 2), name, _FAINT, font)
    pen.line((x, y + _LINE, x + count * step - _GAP, y + _LINE), _FAINT)


def _plain(text: str) -> str:
    """Return a text without what would break the line or the drawing of it."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _font(size: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """Return a font with many alphabets where matplotlib brings one, else Pillow's own."""
    from PIL import ImageFont

    try:
        import matplotlib

        return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
    except (ImportError, OSError):
        return ImageFont.load_default(size)
