"""A chain of chapters as a picture: a box per chapter, and a line to each chapter that reads it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.report_svg import figure, rectangle, shortened, svg, text

#: Pixels: height of a box, room between two rows and two boxes, largest width of a box, width of a
#: line that passes a row, room between a box's edge and its texts.
_HEIGHT, _BETWEEN, _GAP, _LARGEST, _PASSING, _INSET = 62.0, 30.0, 14.0, 210.0, 10.0, 9.0
#: Least width of a box; a row holds no more than fit.
_LEAST = 150.0
#: Rounds of moving each chapter towards those it reads.
_ROUNDS = 4


@dataclass(frozen=True)
class Link:
    """A chapter in the chain.

    Args:
        name: Its name.
        words: What it does and how long that took.
        verdict: In two words; empty: there is none.
        reads: Names of the chapters that it reads; they stand above it.
        page: What its box leads to; empty: nothing.
    """

    name: str
    words: str
    verdict: str = ""
    reads: tuple[str, ...] = ()
    page: str = ""


def chain_figure(links: Sequence[Link]) -> Html:
    """Return the picture: chapters in rows from top to bottom, each below all that it reads.

    Args:
        links: The chapters, each after those that it reads.
    """
    return figure(
        lambda width: _draw(links, width),
        "From top to bottom. A line leads from a chapter to each one that reads what it wrote.",
    )


def rows_of(links: Sequence[Link], most: int) -> dict[str, int]:
    """Return the row of each chapter: below all that it reads, and no more than `most` in a row.

    Args:
        links: The chapters, each after those that it reads.
        most: Chapters in a row.

    Example:
        >>> links = [Link("a", ""), Link("b", "", reads=("a",)), Link("c", "", reads=("a",))]
        >>> rows_of(links, 2), rows_of(links, 1)
        ({'a': 0, 'b': 1, 'c': 1}, {'a': 0, 'b': 1, 'c': 2})
    """
    rows: dict[str, int] = {}
    for link in links:
        row = max((rows[name] + 1 for name in link.reads), default=0)
        while list(rows.values()).count(row) >= most:
            row += 1
        rows[link.name] = row
    return rows


@dataclass(frozen=True)
class _Place:
    """A chapter in its row, or a line that passes the row on its way from that chapter to a later one."""

    name: str
    row: int
    is_passing: bool = False


def _draw(links: Sequence[Link], width: float) -> Html:
    most = max(1, int((width + _GAP) // (_LEAST + _GAP)))
    rows = rows_of(links, most)
    # What reads a chapter further down is reached by way of a place in each row between.
    above: dict[_Place, list[_Place]] = {}
    for link in links:
        own = _Place(link.name, rows[link.name])
        above.setdefault(own, [])
        for name in link.reads:
            way = [_Place(name, row, True) for row in range(rows[name] + 1, own.row)]
            way = [_Place(name, rows[name]), *way, own]
            for upper, lower in itertools.pairwise(way):
                if upper not in above.setdefault(lower, []):
                    above[lower].append(upper)
    order = _order(above, max(rows.values(), default=0) + 1)
    boxes = max((sum(not one.is_passing for one in row) for row in order), default=1)
    passing = max((sum(one.is_passing for one in row) for row in order), default=0)
    free = width - passing * (_PASSING + _GAP) - (boxes - 1) * _GAP
    size = min(_LARGEST, free / boxes)
    left = _lefts(order, size, width)
    marks: list[object] = []
    for lower, uppers in above.items():
        for upper in uppers:
            marks.append(
                _line(_middle(left, upper, size), upper, _middle(left, lower, size), lower)
            )
        if lower.is_passing:
            x = _middle(left, lower, size)
            path = f"M{x:.1f} {_top(lower.row):.1f}v{_HEIGHT:.1f}"
            marks.append(element("path", d=path, class_="average"))
    for link in links:
        marks += _box(link, left[_Place(link.name, rows[link.name])], _top(rows[link.name]), size)
    said = "; ".join(
        f"{link.name} reads {', '.join(link.reads) or 'nothing of others'}" for link in links
    )
    height = len(order) * (_HEIGHT + _BETWEEN) - _BETWEEN + 2
    return svg(width, height, *marks, label=f"Chapters: {said}")


def _order(above: dict[_Place, list[_Place]], count: int) -> list[list[_Place]]:
    """Return the places of each row from left to right, each near those above and below it."""
    order = [[place for place in above if place.row == row] for row in range(count)]
    below: dict[_Place, list[_Place]] = {}
    for lower, uppers in above.items():
        for upper in uppers:
            below.setdefault(upper, []).append(lower)
    for turn in range(_ROUNDS):
        # Downwards each place moves towards what it reads, upwards towards what reads it.
        near, rows = (below, order[::-1]) if turn % 2 else (above, order)
        for row in rows:
            at = {place: (n + 0.5) / len(one) for one in order for n, place in enumerate(one)}
            means = {}
            for place in row:
                others = near.get(place) or [place]
                means[place] = sum(at[other] for other in others) / len(others)
            row.sort(key=means.__getitem__)
    return order


def _lefts(order: Sequence[Sequence[_Place]], size: float, width: float) -> dict[_Place, float]:
    """Return the left edge of each place, all rows centred under the widest one."""
    widths = [[_PASSING if place.is_passing else size for place in row] for row in order]
    whole = max((sum(row) + _GAP * (len(row) - 1) for row in widths), default=width)
    found = {}
    for row, sizes in zip(order, widths, strict=True):
        x = 1 + (whole - sum(sizes) - _GAP * (len(row) - 1)) / 2
        for place, one in zip(row, sizes, strict=True):
            found[place] = x
            x += one + _GAP
    return found


def _middle(left: dict[_Place, float], place: _Place, size: float) -> float:
    return left[place] + (_PASSING if place.is_passing else size) / 2


def _top(row: int) -> float:
    return 1 + row * (_HEIGHT + _BETWEEN)


def _line(x1: float, upper: _Place, x2: float, lower: _Place) -> Html:
    start, end = _top(upper.row) + _HEIGHT, _top(lower.row)
    middle = (start + end) / 2
    path = f"M{x1:.1f} {start:.1f}C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {end:.1f}"
    return element("path", d=path, class_="average")


def _box(link: Link, x: float, y: float, width: float) -> list[Html]:
    limit = int((width - 2 * _INSET) / 6.6)
    lines = (
        (link.name, "strong"),
        (link.words, "tick"),
        (link.verdict, "tick"),
    )
    content = [
        text(x + _INSET, y + 19 + 17 * number, shortened(words, limit), class_)
        for number, (words, class_) in enumerate(lines)
        if words
    ]
    box = rectangle(x, y, width, _HEIGHT, "chapter", f"{link.name}: {link.words} {link.verdict}")
    return [box, *([element("a", *content, href=link.page)] if link.page else content)]
