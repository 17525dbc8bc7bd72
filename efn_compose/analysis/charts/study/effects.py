"""Main effects with their intervals: what each level does, all other axes held."""

from efn_compose.analysis.html.markup import Html
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    line,
    nice_ticks,
    shortened,
    svg,
    text,
    tick_text,
    told_apart,
)
from efn_compose.analysis.reading.study.view import StudyView, level_text

STYLE = ".reach{stroke:var(--mark);stroke-width:2.4}"
_ROW = 20.0


def effects_figure(study: StudyView) -> Html | None:
    """Return the picture of all main effects, None where nothing varies."""
    if not study.axes or not study.has_scores:
        return None
    ends = [
        end
        for factor in study.effects
        for e in factor
        for end in (e.mean, e.low, e.high)
        if end is not None
    ]
    if not ends:
        return None
    limit = (min(0.0, *ends), max(0.0, *ends))

    def draw(width: float) -> Html:
        left = 108.0 if width < 500 else 250.0
        count = sum(len(levels) + 1 for _, levels in study.axes)
        frame = Frame(left, 8.0, width - left - 16, _ROW * count, limit, (0, 1))
        ticks = nice_ticks(*limit, 3 if width < 500 else 7)
        marks: list[object] = []
        for tick in ticks:
            x = frame.x(tick)
            marks.append(line(x, frame.top, x, frame.bottom, "grid"))
            marks.append(text(x, frame.bottom + 16, tick_text(tick, ticks), "tick", "middle"))
        marks.append(line(frame.x(0.0), frame.top, frame.x(0.0), frame.bottom, "frame"))
        y = frame.top
        letters = int((left - 20) / 7)
        for (name, levels), factor in zip(study.axes, study.effects, strict=True):
            y += _ROW
            marks.append(text(2, y - 5, shortened(name, letters), "axis strong"))
            called = told_apart([level_text(level) for level in levels], letters)
            for words, effect in zip(called, factor, strict=True):
                y += _ROW
                marks.append(text(left - 10, y - 5, words, "tick", "end"))
                if effect.mean is None:
                    marks.append(text(frame.x(0.0) + 6, y - 5, "not told apart", "tick"))
                    continue
                if effect.low is not None and effect.high is not None:
                    low, high = frame.x(effect.low), frame.x(effect.high)
                    marks.append(line(low, y - 9, high, y - 9, "reach"))
                marks.append(dots([(frame.x(effect.mean), y - 9)], "accent"))
        marks.append(
            text(frame.right, frame.bottom + 35, f"effect on {study.metric}", "axis", "end")
        )
        return svg(width, frame.bottom + 44, marks, label=f"Main effects on {study.metric}")

    better = "left" if study.sign > 0 else "right"
    caption = (
        f"How far each level moves the mean {study.metric}, with 95 % intervals; further {better} is "
        "better. What axes do together, beyond the sum of their effects, counts as noise here."
    )
    if study.is_of_several:
        caption += " Levels are compared on the same data set, and averaged over data sets."
    return figure(draw, caption)
