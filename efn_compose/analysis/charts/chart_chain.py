"""A chain of stages as a picture: who reads what of whom."""

from collections.abc import Sequence
from dataclasses import dataclass

from efn_compose.analysis.html.markup import Html
from efn_compose.analysis.html.report_svg import (
    dots,
    figure,
    polyline,
    shortened,
    svg,
    text,
)

#: Pixels from stage to stage, and from one bracket to the next.
_STEP, _BRACKET = 34.0, 12.0


@dataclass(frozen=True)
class Link:
    """A stage in the chain.

    Args:
        name: Its name.
        words: What stands beside it.
        reads: Names of the stages that it reads; they stand above it.
    """

    name: str
    words: str
    reads: tuple[str, ...] = ()


def chain_figure(links: Sequence[Link]) -> Html:
    """Return the picture: a line per stage, and a bracket from each stage to those that read it.

    Args:
        links: The stages in their order.
    """
    return figure(
        lambda width: _draw(links, width),
        "From top to bottom, as they run. A bracket leads from a stage to one that reads its product.",
    )


def _draw(links: Sequence[Link], width: float) -> Html:
    rows = {link.name: number for number, link in enumerate(links)}
    pairs = [(rows[source], number) for number, link in enumerate(links) for source in link.reads]
    lanes = _lanes(pairs)
    left = 14 + _BRACKET * (1 + max(lanes, default=0))
    marks: list[object] = []
    for (first, last), lane in zip(pairs, lanes, strict=True):
        x = left - _BRACKET * (lane + 1)
        top, bottom = _middle(first) + 3, _middle(last) - 3
        marks.append(
            polyline([(left - 4, top), (x, top), (x, bottom), (left - 4, bottom)], "average")
        )
    for link in links:
        y = _middle(rows[link.name])
        limit = int((width - left) / 8)
        marks.append(dots([(left, y)], "composed"))
        marks.append(text(left + 12, y + 4, shortened(f"{link.name}: {link.words}", limit)))
    words = "; ".join(
        f"{link.name} reads {', '.join(link.reads) or 'nothing of others'}" for link in links
    )
    return svg(width, _STEP * len(links), *marks, label=f"Stages: {words}")


def _middle(row: int) -> float:
    return _STEP * (row + 0.5)


def _lanes(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Return a lane for each bracket, so that none runs over another."""
    found: list[int] = []
    for number, (first, last) in enumerate(pairs):
        taken = {
            found[other]
            for other in range(number)
            if pairs[other][0] < last and first < pairs[other][1]
        }
        found.append(next(lane for lane in range(len(pairs)) if lane not in taken))
    return found
