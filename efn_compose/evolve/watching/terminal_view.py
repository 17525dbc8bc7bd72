"""The view under a terminal's progress bar: the course of the search, and its workers."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

#: Eighths of a character cell, low to high.
_BLOCKS = "▁▂▃▄▅▆▇█"
_ROWS = 7
_WORKERS = 8


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Return the last values as one line of blocks, the lowest value lowest.

    Example:
        >>> sparkline([3, 2, 1])
        '█▅▁'
    """
    shown = list(values)[-width:]
    if not shown:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    return "".join(
        _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1)) if span else 0] for value in shown
    )


def chart_rows(
    best: Sequence[float], donors: Mapping[str, float], width: int, rows: int = _ROWS
) -> list[str]:
    """Return the course of the best loss between the donors' lines, as rows of text.

    Args:
        best: Loss believed best after each generation.
        donors: Loss by donor; donors far above the best of them are left out.
        width: Columns of the picture, labels not counted.
        rows: Rows, at least 2.

    Returns:
        Highest loss first; `─` is a donor, with its names behind it, `●` the best.

    Example:
        >>> for row in chart_rows([0.4, 0.3], {"lite1": 0.4}, width=4, rows=2): print(row)
        0.4000 ●───  lite1
        0.3000  ●
    """
    shown = _near(best, donors)
    values = [*best, *shown.values()]
    if not best or not values:
        return []
    low, high = min(values), max(values)
    step = (high - low) / (rows - 1)

    def row_of(value: float) -> int:
        return round((high - value) / step) if step else 0

    columns = min(len(best), width)
    points = [best[(number + 1) * len(best) // columns - 1] for number in range(columns)]
    lines = []
    for row in range(rows):
        names = [name for name, value in shown.items() if row_of(value) == row]
        cells = ["─" if names else " "] * max(columns, min(width, 30))
        for column, value in enumerate(points):
            if row_of(value) == row:
                cells[column] = "●"
        label = f"{high - row * step:.4f}"
        lines.append(f"{label} {''.join(cells)}  {', '.join(names)}".rstrip())
    return lines


def _near(best: Sequence[float], donors: Mapping[str, float]) -> dict[str, float]:
    """Return the donors that fit into one picture with the course of the best."""
    if not donors or not best:
        return {}
    floor = min(*best, *donors.values())
    limit = max(max(best), min(donors.values())) + 0.5 * (
        max(max(best), min(donors.values())) - floor or 0.1 * abs(floor) or 1.0
    )
    return {name: value for name, value in sorted(donors.items()) if value <= limit}


@dataclass
class WorkerTally:
    """What each worker has done so far.

    Args:
        done: Evaluations by worker.
        seconds: Wall time of the last one.
        memory_mb: Resident memory after it.
    """

    done: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    memory_mb: dict[int, float] = field(default_factory=dict)

    def take(self, timing: Mapping[str, float]) -> None:
        """Count one evaluation."""
        worker = int(timing["worker"])
        self.done[worker] = self.done.get(worker, 0) + 1
        self.seconds[worker] = float(timing["wall_seconds"])
        self.memory_mb[worker] = float(timing.get("memory_mb", 0.0))

    def lines(self) -> list[str]:
        """Return one line per worker, or one for all where they are many."""
        if len(self.done) > _WORKERS:
            total, last = sum(self.done.values()), sorted(self.seconds.values())
            return [
                f"{len(self.done)} workers: {total:,} evaluations, the last ones "
                f"{last[0]:.1f} to {last[-1]:.1f} s, up to {max(self.memory_mb.values()):,.0f} MB"
            ]
        return [
            f"worker {worker}: {done:,} evaluations, the last one {self.seconds[worker]:.1f} s, "
            f"{self.memory_mb[worker]:,.0f} MB"
            for worker, done in sorted(self.done.items())
        ]


def view(
    best: Sequence[float],
    donors: Mapping[str, float],
    workers: WorkerTally,
    latest: str,
    columns: int,
    rows: int,
) -> Text:
    """Return everything under the progress bar; fewer parts on a small terminal."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if best and rows >= 24 and columns >= 60:
        longest = max((len(name) for name in donors), default=0)
        picture = chart_rows(best, donors, max(10, min(60, columns - longest - 16)))
        text.append("Loss believed best after each generation, between the donors\n", "dim")
        for line in picture:
            _append_chart_line(text, line)
    elif best:
        text.append(f"best {sparkline(best)} {best[-1]:.4f}\n")
    if donors and (rows < 24 or columns < 60):
        few = sorted(donors.items(), key=lambda pair: pair[1])[:3]
        text.append("donors " + ", ".join(f"{name} {value:.4f}" for name, value in few) + "\n")
    for line in workers.lines() if rows >= 16 else []:
        text.append(f"{line}\n", "dim")
    if latest:
        text.append(f"latest: {latest}", "dim")
    return text


def _append_chart_line(text: Text, line: str) -> None:
    """Append one row of the chart, the best in its own colour."""
    for is_best, run in itertools.groupby(line, lambda character: character == "●"):
        text.append("".join(run), "bold magenta" if is_best else "")
    text.append("\n")
