"""The scoreboard as a picture: every contestant's paired difference to the best donor."""

import math
from collections.abc import Sequence

from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.palette import letter
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    line,
    nice_ticks,
    rectangle,
    shortened,
    svg,
    text,
    tick_text,
)
from efn_compose.analysis.reading.figures import count, difference_text, signed
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.scoreboard import ArmView, Scoreboard
from efn_compose.evolve.verdict.verdict import interval_factor, standard_error

#: A contestant further away than this many times all others leaves the picture by an arrow.
_FAR = 2.5
_ROW, _NARROW_ROW = 30.0, 46.0


def scores_figure(run: RunView, board: Scoreboard) -> Html | None:
    """Return the figure of paired differences; None where there is nothing to pair."""
    arms = [arm for arm in board.arms if board.difference(arm) is not None]
    rival = board.arm(board.best_donor)
    if not arms or rival is None:
        return None
    numbers = {donor.name: donor.number for donor in run.donors}
    spans = {arm.name: _per_seed(arm, rival, board.part) for arm in arms}
    limit = visible_differences(list(spans.values()))

    def draw(width: float) -> Html:
        return _draw(board, arms, spans, limit, numbers, width)

    seeds = len(rival.losses(board.part))
    is_cut = any(_mean(span) > limit[1] for span in spans.values())
    caption = (
        f"Difference in {board.part} loss to {board.rival_title}: left of the line is "
        f"better. The large mark is the mean over {count(seeds, 'seed')}, the thick bar ± 1 standard "
        f"error, the thin one the 95 % interval (± {interval_factor(seeds):.2f} standard errors), the "
        "small marks are the single seeds. Where the thin bar crosses the line, so few seeds do not "
        "settle which is better."
        + " An arrow stands for a contestant too far to the right to be drawn."
        * is_cut
    )
    return figure(draw, caption)


def _per_seed(arm: ArmView, rival: ArmView, part: str) -> list[float]:
    pairs = zip(arm.losses(part), rival.losses(part), strict=True)
    return [a - b for a, b in pairs]


def visible_differences(spans: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the differences at the left and right edge: all marks, intervals included.

    One contestant that is far worse must not flatten the others. It is left out where its mean is
    further from 0 than 2.5 times anything of the others.

    Args:
        spans: Per contestant its differences, one per seed, two or more.

    Example:
        >>> low, high = visible_differences([[-0.01, 0.01], [0.9, 1.1]])
        >>> high < 0.2
        True
    """
    reaches = [_reach(span) for span in spans]
    if len(spans) > 1:
        last = max(range(len(spans)), key=lambda number: _mean(spans[number]))
        others = [ends for number, ends in enumerate(reaches) if number != last]
        furthest = max(abs(end) for ends in others for end in ends)
        if _mean(spans[last]) > _FAR * furthest > 0:
            reaches = others
    low = min(0.0, *(ends[0] for ends in reaches))
    high = max(0.0, *(ends[1] for ends in reaches))
    pad = (high - low or 1.0) * 0.06
    return low - pad, high + pad


def _reach(span: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest value that is drawn of a contestant."""
    mean, reach = _mean(span), interval_factor(len(span)) * standard_error(span)
    return min(*span, mean - reach), max(*span, mean + reach)


def _mean(span: Sequence[float]) -> float:
    return math.fsum(span) / len(span)


def _draw(
    board: Scoreboard,
    arms: Sequence[ArmView],
    spans: dict[str, list[float]],
    limit: tuple[float, float],
    numbers: dict[str, int],
    width: float,
) -> Html:
    narrow = width < 500
    row = _NARROW_ROW if narrow else _ROW
    left = 8.0 if narrow else 210.0
    right = 14.0 if narrow else 150.0
    frame = Frame(left, 10.0, width - left - right, row * len(arms), limit, (0, 1))
    ticks = nice_ticks(*limit, 4 if narrow else 6)
    marks: list[object] = []
    for tick in ticks:
        x = frame.x(tick)
        marks.append(line(x, frame.top, x, frame.bottom, "grid"))
        words = tick_text(tick, ticks)
        if tick > 0:
            words = "+" + words
        marks.append(text(x, frame.bottom + 16, words, "tick", "middle"))
    zero = frame.x(0.0)
    marks.append(line(zero, frame.top - 4, zero, frame.bottom + 3, "frame"))
    unit = f"{board.part} loss minus that of the {board.rival} (nats)"
    marks.append(text(frame.right, frame.bottom + 35, unit, "axis", "end"))
    for number, arm in enumerate(arms):
        y = frame.top + row * (number + 0.5) + (9 if narrow else 0)
        marks += _contestant(board, arm, spans[arm.name], frame, y, numbers, narrow, width)
    return svg(
        width,
        frame.bottom + 44,
        marks,
        label="; ".join(f"{arm.title} {_value(board, arm)}" for arm in arms),
    )


def _contestant(
    board: Scoreboard,
    arm: ArmView,
    differences: Sequence[float],
    frame: Frame,
    y: float,
    numbers: dict[str, int],
    narrow: bool,
    width: float,
) -> list[object]:
    found = board.difference(arm)
    if found is None:
        return []
    number = numbers.get(arm.name)
    title = shortened(arm.title, 23)
    if number is not None and arm.kind == "donor":
        title = f"{letter(number)}  {title}"
    weight = "strong" if arm.name == board.winner else ""
    value = _value(board, arm)
    if narrow:
        labels = [
            text(frame.left, y - 15, title, weight),
            text(frame.right, y - 15, value, "tick", "end"),
        ]
    else:
        labels = [
            text(frame.left - 12, y + 4, title, weight, "end"),
            text(width, y + 4, value, "tick", "end"),
        ]
    colour = "accent" if arm.kind == "composed" else "composed"
    if number is not None and arm.kind == "donor":
        colour = f"s{number % 8}"
    if found.mean > frame.x_range[1]:
        tip = frame.right
        arrow = element(
            "path", d=f"M{tip - 26} {y}H{tip}m-7-4l7 4-7 4", class_=f"interval {colour}"
        )
        return [*labels, arrow]

    def bar(reach: float, class_: str) -> Html:
        ends = [frame.x(found.mean + sign * reach) for sign in (-1, 1)]
        return line(ends[0], y, ends[1], y, f"interval {class_}{colour}")

    wide = interval_factor(len(differences)) * found.standard_error
    seeds = [rectangle(frame.x(d) - 0.6, y - 6, 1.2, 12, "seed") for d in differences]
    return [
        *labels,
        *seeds,
        bar(wide, ""),
        bar(found.standard_error, "thick "),
        dots([(frame.x(found.mean), y)], f"big {colour}"),
    ]


def _value(board: Scoreboard, arm: ArmView) -> str:
    found = board.difference(arm)
    return difference_text(found) if found is not None else signed(0.0)
