"""A heat map for each pair of axes: the mean score of every pair of levels."""

import itertools

import numpy as np

from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.report_svg import figure, shortened, svg, text, told_apart
from efn_compose.analysis.reading.figures import loss_text
from efn_compose.analysis.reading.study.view import StudyView, level_text

STYLE = ".heat{fill:var(--accent);stroke:var(--rule);stroke-width:1}"
#: Axes that are paired; with more of them, those of the largest effects.
_AXES = 4
#: Opacity of the best cell; texts on it keep their contrast in light and dark.
_STRONGEST = 0.4
_ROW, _TOP, _LEFT = 26.0, 46.0, 84.0


def heat_maps(study: StudyView) -> Html | None:
    """Return the maps of all pairs of axes, None where there is no pair."""
    pairs = list(itertools.combinations(_shown(study), 2))
    if not pairs or not study.has_scores:
        return None
    axes = study.axes
    # The axis with more levels runs downwards: a page has more room there.
    pairs = [(a, b) if len(axes[a][1]) >= len(axes[b][1]) else (b, a) for a, b in pairs]
    grids = [_means(study, down, across) for down, across in pairs]
    known = np.concatenate([grid[np.isfinite(grid)] for grid in grids])
    low, high = float(known.min()), float(known.max())

    def draw(width: float) -> Html:
        columns = 1 if width < 500 else min(3, len(pairs))
        each = width / columns
        marks: list[object] = []
        top = 0.0
        for start in range(0, len(pairs), columns):
            row = range(start, min(start + columns, len(pairs)))
            for place, number in enumerate(row):
                marks += _map(
                    study, *pairs[number], grids[number], place * each, top, each, low, high
                )
            top += max(_TOP + _ROW * len(grids[number]) for number in row) + 24
        names = ", ".join(f"{axes[a][0]} by {axes[b][0]}" for a, b in pairs)
        return svg(width, top, marks, label=f"Mean {study.metric} by pairs of axes: {names}")

    caption = (
        f"Mean {study.metric} of all combinations with a pair of levels; the stronger the colour, the "
        "better. What is not varied in a map is averaged over."
    )
    caption += study.mean_note
    if len(axes) > _AXES:
        caption += f" Of {len(axes)} axes the {_AXES} with the largest effects are paired."
    return figure(draw, caption)


def _shown(study: StudyView) -> list[int]:
    """Return the axes that are paired, in their order."""
    sizes = [
        max((abs(e.mean) for e in factor if e.mean is not None), default=0.0)
        for factor in study.effects
    ]
    return sorted(sorted(range(len(sizes)), key=lambda n: -sizes[n])[:_AXES])


def _means(study: StudyView, down: int, across: int) -> np.ndarray:
    shape = [len(study.axes[axis][1]) for axis in (down, across)]
    found = np.full(shape, np.nan)
    for one, other in np.ndindex(*shape):
        chosen = (study.levels[:, down] == one) & (study.levels[:, across] == other)
        values = study.means[chosen]
        if np.isfinite(values).any():
            found[one, other] = np.nanmean(values)
    return found


def _map(
    study: StudyView,
    down: int,
    across: int,
    grid: np.ndarray,
    left: float,
    top: float,
    width: float,
    low: float,
    high: float,
) -> list[object]:
    rows, columns = study.axes[down], study.axes[across]
    cell = (width - _LEFT - 16) / grid.shape[1]
    letters = max(3, int(cell / 7.5))
    marks: list[object] = [
        text(left + _LEFT, top + 14, shortened(columns[0], int((width - _LEFT) / 7)), "axis"),
        text(left, top + 34, shortened(rows[0], 11), "axis"),
    ]
    for n, words in enumerate(told_apart([level_text(level) for level in columns[1]], letters)):
        x = left + _LEFT + cell * (n + 0.5)
        marks.append(text(x, top + 34, words, "tick", "middle"))
    for m, words in enumerate(told_apart([level_text(level) for level in rows[1]], 10)):
        y = top + _TOP + _ROW * m
        marks.append(text(left + _LEFT - 7, y + 17, words, "tick", "end"))
        for n in range(grid.shape[1]):
            x, value = left + _LEFT + cell * n, float(grid[m, n])
            good = 0.0 if np.isnan(value) or high == low else (value - low) / (high - low)
            good = 1 - good if study.sign > 0 else good
            strength = 0.0 if np.isnan(value) else good * _STRONGEST
            marks.append(
                element(
                    "rect", x=x, y=y, width=cell, height=_ROW, class_="heat", fill_opacity=strength
                )
            )
            number = loss_text(None if np.isnan(value) else value, 3 if cell > 40 else 2)
            marks.append(text(x + cell / 2, y + 17, number, "", "middle"))
    return marks
