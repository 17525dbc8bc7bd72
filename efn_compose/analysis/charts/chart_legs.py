"""Legs of a run that was handed on: who worked how long, and how far it came."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import fingerprint, table
from efn_compose.analysis.html.report_svg import Frame, figure, rectangle, shortened, svg, text
from efn_compose.analysis.reading.figures import duration, progress_text
from efn_compose.store.run_folder import LEGS_FILE

_ROW = 26.0


def legs_section(folder: Path) -> list[Html | None]:
    """Return the section on legs; empty for a run that was never handed on."""
    try:
        lines = (folder / LEGS_FILE).read_text(encoding="utf-8").splitlines()
        legs = [_checked(json.loads(line)) for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [element("p", f"{LEGS_FILE} cannot be read.", class_="quiet")]
    return [_figure(legs), _table(legs)] if legs else []


def _checked(leg: Mapping[str, Any]) -> Mapping[str, Any]:
    float(leg["hours"])
    dict(leg["ended"]), dict(leg["begun"]), leg["machine"].get("platform")
    return {**leg, "by": str(leg["by"]), "state_after": str(leg["state_after"])}


def _figure(legs: Sequence[Mapping[str, Any]]) -> Html:
    total = sum(leg["hours"] for leg in legs) or 1.0

    def draw(width: float) -> Html:
        left = 90.0 if width < 500 else 190.0
        frame = Frame(left, 6.0, width - left - 90, _ROW * len(legs), (0, total), (0, 1))
        marks: list[object] = []
        done = 0.0
        for number, leg in enumerate(legs):
            y = frame.top + _ROW * number
            words = shortened(f"{number + 1}  {leg['by']}", int(left / 7.5))
            marks.append(text(2, y + 17, words, "tick"))
            start, end = frame.x(done), frame.x(done + leg["hours"])
            marks.append(rectangle(start, y + 5, max(2.0, end - start), 14, "fill-composed"))
            marks.append(text(end + 6, y + 17, duration(leg["hours"] * 3600), "tick"))
            done += leg["hours"]
        return svg(width, frame.bottom + 8, marks, label=f"{len(legs)} legs")

    return figure(draw, "Legs in the order in which they were made, by their time at work.")


def _table(legs: Sequence[Mapping[str, Any]]) -> Html:
    rows = [
        [
            f"{number}",
            name(leg["by"]),
            name(leg["machine"].get("platform", "")),
            progress_text(leg["begun"], leg["ended"]),
            fingerprint(leg["state_after"]),
        ]
        for number, leg in enumerate(legs, 1)
    ]
    return table(
        ["Leg", "By", "Machine", "Done", "State afterwards"],
        rows,
        caption="Each leg began with the state in which the one before it ended.",
    )
