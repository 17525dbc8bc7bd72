"""The grammar of the page's charts: a frame with axes, marks as compact paths, texts that fit.

Charts are drawn twice, for a wide and for a narrow page, because text in a scaled picture
scales with it. Colours are classes: the style sheet decides them for light, dark and print.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from efn_compose.analysis.html.markup import Html, element, short

#: Mean width of a character of the page's sans-serif, in units of its size; a little too wide.
_CHARACTER = 0.58
TEXT_SIZE = 12.0


@dataclass(frozen=True)
class Frame:
    """A rectangle of a chart with linear axes.

    Args:
        left: Left edge, pixels.
        top: Top edge, pixels.
        width: Pixels.
        height: Pixels.
        x_range: Values at the left and right edge.
        y_range: Values at the bottom and top edge.
    """

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @property
    def right(self) -> float:
        """Right edge, pixels."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Bottom edge, pixels."""
        return self.top + self.height

    def x(self, value: float) -> float:
        """Return the pixel of an x value."""
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * self.width

    def y(self, value: float) -> float:
        """Return the pixel of a y value."""
        low, high = self.y_range
        return self.bottom - (value - low) / ((high - low) or 1) * self.height


def svg(width: float, height: float, *children: object, label: str) -> Html:
    """Return a picture that scales to its place.

    Args:
        width: Pixels at which texts have their intended size.
        height: Pixels.
        children: Its marks.
        label: A description for readers who cannot see the picture.
    """
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {short(width)} {short(height)}",
        width=short(width),
        height=short(height),
        role="img",
        aria_label=label,
    )


def figure(draw: Callable[[float], Html], caption: object, *extra: object) -> Html:
    """Return a figure drawn for a wide and a narrow page, with its caption.

    Args:
        draw: Draws it for a width in pixels.
        caption: A description of the picture.
        extra: Content between picture and caption, a legend for example.
    """
    return element(
        "figure",
        element("div", draw(WIDE), class_="wide"),
        element("div", draw(NARROW), class_="narrow"),
        *extra,
        element("figcaption", caption),
    )


WIDE, NARROW = 900.0, 350.0


def text(x: float, y: float, content: object, class_: str = "", anchor: str = "start") -> Html:
    """Return a text."""
    return element(
        "text",
        content,
        x=x,
        y=y,
        class_=class_ or None,
        text_anchor=None if anchor == "start" else anchor,
    )


def text_width(content: str, size: float = TEXT_SIZE) -> float:
    """Return about how wide a text is, in pixels; rather too wide than too narrow."""
    return len(content) * size * _CHARACTER


def shortened(content: str, limit: int) -> str:
    """Return a text of at most `limit` characters, its middle replaced by an ellipsis.

    Example:
        >>> shortened("a_long_donor_name", 9)
        'a_lo…name'
    """
    if len(content) <= limit:
        return content
    kept = max(1, limit - 1)
    tail = kept // 2
    return content[: kept - tail] + "…" + (content[-tail:] if tail else "")


def told_apart(contents: Sequence[str], limit: int) -> list[str]:
    """Return texts of at most `limit` characters; what differs stays in sight.

    Where shortened texts would read alike, an ellipsis stands for what they begin and end with in
    common, up to a boundary of words.

    Example:
        >>> told_apart(["lite-w0.25-d0.3", "lite-w0.3-d0.3", "nets:tiny"], 10)
        ['…w0.25…', '…w0.3…', 'nets:tiny']
    """
    found = [shortened(content, limit) for content in contents]
    for words in {word for word in found if found.count(word) > 1}:
        alike = [n for n, word in enumerate(found) if word == words]
        names = [contents[n] for n in alike]
        start, end = _in_common(names), _in_common([name[::-1] for name in names])
        for n in alike:
            core = contents[n][start : len(contents[n]) - end]
            found[n] = shortened("…" * (start > 0) + core + "…" * (end > 0), limit)
    return found


def _in_common(names: Sequence[str]) -> int:
    """Return the length of what names begin with in common, whole words only."""
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in alike)
    found = re.match(r".*[^0-9a-zA-Z.]", common)
    return found.end() if found else 0


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """Return a line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rectangle(
    x: float, y: float, width: float, height: float, class_: str, title: str = ""
) -> Html:
    """Return a rectangle, with a text that appears on hovering."""
    inner = element("title", title) if title else None
    return element("rect", inner, x=x, y=y, width=max(0.0, width), height=height, class_=class_)


def polyline(points: Iterable[tuple[float, float]], class_: str) -> Html:
    """Return a line through points."""
    return element("polyline", points=_corners(points), class_=class_)


def polygon(points: Iterable[tuple[float, float]], class_: str) -> Html:
    """Return an area within points."""
    return element("polygon", points=_corners(points), class_=class_)


def _corners(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{short(x)},{short(y)}" for x, y in points)


def dots(points: Iterable[tuple[float, float]], class_: str) -> Html:
    """Return many dots as one path of points with round caps: about 11 bytes each."""
    return element("path", d=_moves(points, "h0"), class_=f"dots {class_}")


def crosses(points: Iterable[tuple[float, float]], size: float, class_: str) -> Html:
    """Return many crosses as one path."""
    side = short(2 * size)
    shifted = [(x - size, y - size) for x, y in points]
    strokes = f"l{side} {side}m0-{side}l-{side} {side}"
    return element("path", d=_moves(shifted, strokes), class_=class_)


def rings(points: Iterable[tuple[float, float]], radius: float, class_: str) -> Html:
    """Return many circles as one path."""
    r = short(radius)
    arc = f"a{r} {r} 0 1 0 {short(2 * radius)} 0a{r} {r} 0 1 0-{short(2 * radius)} 0"
    return element("path", d=_moves([(x - radius, y) for x, y in points], arc), class_=class_)


def triangles(points: Iterable[tuple[float, float]], size: float, class_: str) -> Html:
    """Return many upward triangles, tips at the points, as one path."""
    s = short(size)
    return element("path", d=_moves(points, f"l{s} {s}h-{short(2 * size)}z"), class_=class_)


def _moves(points: Iterable[tuple[float, float]], stroke: str) -> str:
    return "".join(f"M{_pixel(x)} {_pixel(y)}{stroke}" for x, y in points)


def _pixel(value: float) -> str:
    """Return a pixel with one digit; nobody sees more, and there are thousands of them."""
    content = f"{value:.1f}"
    return content[:-2] if content.endswith(".0") else content


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers within [low, high].

    Example:
        >>> nice_ticks(0, 10, 5)
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if not high > low or count < 1:
        return [low]
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next((m * magnitude for m in (1, 2, 2.5, 5) if m * magnitude >= rough), 10 * magnitude)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def integer_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` whole numbers within [low, high]."""
    return [tick for tick in nice_ticks(low, high, count) if tick == int(tick)]


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """Return a tick's label with as many digits as its neighbours need."""
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    step = min(steps, default=abs(value) or 1)
    digits = 0
    while digits < 6 and abs(round(step, digits) - step) > step * 1e-6:
        digits += 1
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def y_axis(frame: Frame, ticks: Sequence[float], title: str) -> list[Html]:
    """Return horizontal grid lines with labels, and the axis title above them."""
    marks = []
    for tick in ticks:
        y = frame.y(tick)
        marks.append(line(frame.left, y, frame.right, y, "grid"))
        marks.append(text(frame.left - 7, y + 4, tick_text(tick, ticks), "tick", "end"))
    marks.append(text(2, frame.top - 12, title, "axis"))
    return marks


def x_axis(
    frame: Frame, ticks: Sequence[float], title: str, labels: Sequence[str] | None = None
) -> list[Html]:
    """Return the lower axis with ticks and labels, and its title below them."""
    marks = [line(frame.left, frame.bottom, frame.right, frame.bottom, "frame")]
    names = labels if labels is not None else [tick_text(tick, ticks) for tick in ticks]
    end = float("-inf")
    for tick, label in zip(ticks, names, strict=True):
        x = frame.x(tick)
        marks.append(line(x, frame.bottom, x, frame.bottom + 4, "frame"))
        half = text_width(label) / 2
        if x - half > end + 6:
            marks.append(text(x, frame.bottom + 17, label, "tick", "middle"))
            end = x + half
    marks.append(text(frame.right, frame.bottom + 35, title, "axis", "end"))
    return marks


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return label positions near the given ones, at least `gap` apart, within [low, high].

    Example:
        >>> spread([10, 11], 12, 0, 100)
        [4.5, 16.5]
    """
    order = sorted(range(len(positions)), key=lambda number: positions[number])

    def start(cluster: Sequence[int]) -> float:
        centre = sum(positions[number] for number in cluster) / len(cluster)
        span = (len(cluster) - 1) * gap
        return max(low, min(centre - span / 2, high - span))

    # Clusters of labels that touch are centred on the mean of where they want to be.
    clusters: list[list[int]] = []
    for number in order:
        clusters.append([number])
        while len(clusters) > 1 and start(clusters[-1]) < (
            start(clusters[-2]) + len(clusters[-2]) * gap
        ):
            last = clusters.pop()
            clusters[-1].extend(last)
    placed = [0.0] * len(positions)
    for cluster in clusters:
        for offset, number in enumerate(cluster):
            placed[number] = start(cluster) + offset * gap
    return placed
