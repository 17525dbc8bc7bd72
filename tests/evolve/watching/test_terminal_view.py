"""What a person sees while a search runs: a picture on a terminal, every line in a log."""

import io
import math

from rich.console import Console

from efn_compose.evolve.journal.watcher import Place, Standing
from efn_compose.evolve.watching.progress import ConsoleWatcher
from efn_compose.evolve.watching.terminal_view import WorkerTally, chart_rows, sparkline, view

DONORS = {"first": 0.5, "second": 0.4, "hopeless": 9.0}


def test_a_sparkline_keeps_order_and_ends():
    assert sparkline([]) == ""
    assert sparkline([1, 1]) == "▁▁"
    line = sparkline([0.9, 0.5, 0.3, 0.1])
    assert line == "".join(sorted(line, reverse=True)) and (line[0], line[-1]) == ("█", "▁")
    assert len(sparkline(range(100), width=10)) == 10


def test_the_chart_puts_losses_where_their_labels_say():
    best = [0.5, 0.45, 0.4, 0.35, 0.3]
    rows = chart_rows(best, DONORS, width=20, rows=5)
    assert [float(row.split()[0]) for row in rows] == [0.5, 0.45, 0.4, 0.35, 0.3]
    assert [row.index("●") - 7 for row in rows] == [0, 1, 2, 3, 4]
    assert rows[0].endswith("first") and rows[2].endswith("second")
    assert "hopeless" not in "".join(rows)
    assert all("─" not in row for row in (rows[1], rows[3], rows[4]))


def test_a_chart_of_one_value_or_of_many_fits():
    assert len(chart_rows([0.5], {}, width=20)) == 7
    rows = chart_rows([1 / (1 + n) for n in range(500)], {}, width=20)
    assert max(len(row) for row in rows) <= 7 + 30
    assert chart_rows([], DONORS, width=20) == []


def test_small_terminals_get_less_and_never_more_lines_than_they_have():
    tally = WorkerTally()
    for worker in range(4):
        tally.take({"worker": worker, "wall_seconds": 2.0, "memory_mb": 900.0})
    for columns, rows in ((120, 40), (80, 24), (60, 16), (40, 10)):
        text = view([0.5, 0.4], DONORS, tally, "composed loss 0.4", columns, rows).plain
        assert len(text.splitlines()) < rows - 2
        assert "0.4000" in text and "latest: composed" in text and "second" in text
    assert "second" not in view([0.4], {}, tally, "", 80, 24).plain


def test_many_workers_take_one_line():
    tally = WorkerTally()
    for worker in range(100):
        tally.take({"worker": worker, "wall_seconds": 1.0 + worker, "memory_mb": 900.0})
    assert tally.lines() == [
        "100 workers: 100 evaluations, the last ones 1.0 to 100.0 s, up to 900 MB"
    ]


def _watch(console):
    standing = Standing(Place(None, 0.31, 2), Place(0, 0.35, 3), {0: 0.35}, mean=0.33, genomes=2)
    timing = {"seconds": {"epoch": 1.0}, "wall_seconds": 1.2, "worker": 0, "memory_mb": 800.0}
    scores = {"validation": {"loss": 0.3125}}
    with ConsoleWatcher(20, 1, console) as watcher:
        watcher.set_donors(["<mine> [red]"])
        watcher.on_phase("search", 20)
        for error in (None, "training diverged"):
            record = {
                "arm": "",
                "error": error,
                "scores": {} if error else scores,
                "timing": timing,
            }
            watcher.on_evaluation(record, is_replayed=False)
        watcher.on_generation(0, standing)
        watcher.on_generation(1, Standing(None, None, {}, math.nan, 2))
        watcher.on_generation(2, Standing(Place(None, 0.3, 1), None, {}, 0.3, 3))
    return console.file.getvalue()


def test_a_log_has_every_evaluation_and_no_control_codes():
    text = _watch(Console(file=io.StringIO(), width=200))
    assert "loss 0.312" in text and "failed: training diverged" in text
    assert "generation  0  best 0.3100 (composed, 2 runs)" in text
    assert "<mine> [red]" in text and "gain +0.0400" in text
    assert "generation 1: every evaluation failed so far" in text
    assert "generation  2  best 0.3000 (composed, 1 run)  all donors failed  mean" in text
    assert "\x1b" not in text


def test_a_terminal_has_bar_chart_workers_and_names_as_they_are():
    console = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
    text = _watch(console)
    assert "2/20" in text and "1/20  composed" not in text
    assert "0.3500" in text and "<mine> [red]" in text
    assert "worker 0: 2 evaluations, the last one 1.2 s, 800 MB" in text
    assert "failed: training diverged" in text
