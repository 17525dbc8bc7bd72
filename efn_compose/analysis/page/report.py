"""report.html: one self-contained page about a run, redrawn from its folder alone."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from efn_compose.analysis.charts import (
    chart_donor_map,
    chart_genealogy,
    chart_predictions,
    chart_time,
)
from efn_compose.analysis.charts.chart_diversity import diversity_figure
from efn_compose.analysis.charts.chart_donor_map import donor_map_figure
from efn_compose.analysis.charts.chart_fitness import fitness_figure
from efn_compose.analysis.charts.chart_genealogy import genealogy_figure
from efn_compose.analysis.charts.chart_legs import legs_section
from efn_compose.analysis.charts.chart_noise import noise_figure
from efn_compose.analysis.charts.chart_predictions import predictions_section
from efn_compose.analysis.charts.chart_rungs import rungs_section
from efn_compose.analysis.charts.chart_scores import scores_figure
from efn_compose.analysis.charts.chart_shares import shares_section
from efn_compose.analysis.charts.chart_time import phase_table, time_figure, time_table, time_words
from efn_compose.analysis.html.markup import Html, element, escape, join, name
from efn_compose.analysis.html.report_parts import section
from efn_compose.analysis.html.report_style import style_sheet
from efn_compose.analysis.page.sections import (
    commands,
    data,
    donors,
    environment,
    failures,
    headline,
    key_figures,
    noise_words,
    problems_box,
    scoreboard_table,
    verdict_words,
)
from efn_compose.analysis.reading.composition.donor_map import donor_maps, mixed_genome
from efn_compose.analysis.reading.composition.genealogy import ancestry
from efn_compose.analysis.reading.composition.segment_saliency import segment_saliency
from efn_compose.analysis.reading.figures import count, date_text
from efn_compose.analysis.reading.journal_view import RunView, read_run
from efn_compose.analysis.reading.noise import noise_of
from efn_compose.analysis.reading.predictions_view import read_predictions
from efn_compose.analysis.reading.scoreboard import scoreboard
from efn_compose.analysis.reading.search_view import SearchView, search_view
from efn_compose.analysis.reading.timing import timing
from efn_compose.errors import EfnComposeError
from efn_compose.store import WeightFile, write_text
from efn_compose.store.run_folder import REPORT_FILE, WEIGHTS_FILE

_STYLES = "".join(
    chart.STYLE for chart in (chart_donor_map, chart_genealogy, chart_predictions, chart_time)
)
#: Nothing may be loaded from anywhere: no scripts, no fonts, no pictures from outside.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def write_report(run_path: str | os.PathLike[str]) -> Path:
    """Draw a run's report from its folder alone and write it there, atomically.

    Args:
        run_path: The run folder; the run may be going on, finished or broken.

    Returns:
        Path of `report.html`.

    Raises:
        RunError: The folder holds no run, or the page cannot be written.

    Example:
        >>> write_report("runs/quickstart")  # doctest: +SKIP
        PosixPath('runs/quickstart/report.html')
    """
    path = Path(run_path) / REPORT_FILE
    write_text(path, render_report(read_run(run_path)))
    return path


def render_report(run: RunView, *, refresh_seconds: int = 0) -> str:
    """Return the report's page.

    Args:
        run: The run folder, read.
        refresh_seconds: Seconds after which the page reloads itself; 0 for never.
    """
    board, search, clock, noise = (
        scoreboard(run),
        search_view(run),
        timing(run.evaluations),
        noise_of(run),
    )
    sections: list[tuple[str, str, Sequence[Html | None]]] = [
        ("scoreboard", "Scoreboard", [scores_figure(run, board), scoreboard_table(run, board)]),
        ("search", "Search", [fitness_figure(run, search, noise)]),
        ("map", "Donor map", _maps(run, search)),
        ("shares", "Shares", shares_section(run, search)),
        ("predictions", "Predictions", _predictions(run)),
        ("diversity", "Diversity", [diversity_figure(run, search)]),
        ("noise", "Noise", [*noise_words(noise, search), noise_figure(noise)]),
        ("rungs", "Rungs", rungs_section(run)),
        ("time", "Time", _time(run, search)),
        ("legs", "Legs", legs_section(run.path)),
        ("failures", "Failures", failures(run, search)),
        ("data", "Data", data(run)),
        ("donors", "Donors", donors(run)),
        ("environment", "Environment", environment(run)),
        ("commands", "Do it again", commands(run)),
    ]
    shown = [(key, title, parts) for key, title, parts in sections if any(parts)]
    body = [
        element("a", "Skip to the verdict", href="#verdict", class_="skip"),
        element(
            "div",
            element(
                "header",
                element("h1", "Run ", name(run.name)),
                element("span", _status(run), class_="status"),
            ),
            element(
                "main",
                element("p", headline(run, board, search), class_="lead", id="verdict"),
                verdict_words(run),
                problems_box(run),
                key_figures(run, board, search, clock),
                element(
                    "nav",
                    element(
                        "ul",
                        [element("li", element("a", t, href=f"#{k}")) for k, t, _ in shown],
                    ),
                    aria_label="Sections",
                ),
                [section(key, title, parts) for key, title, parts in shown],
            ),
            element("footer", _footer(run)),
            class_="page",
        ),
    ]
    return page(f"{run.name}: {headline(run, board, search)}", body, refresh_seconds)


def _maps(run: RunView, search: SearchView) -> list[Html | None]:
    maps = donor_maps(run, search, *_from_weights(run))
    if not maps:
        return [element("p", "There is no genome to draw yet.", class_="quiet")]
    figures: list[Html | None] = [donor_map_figure(run, view) for view in maps]
    genome = mixed_genome(run, search)
    return [*figures, genealogy_figure(run, ancestry(run, genome)) if genome else None]


def _predictions(run: RunView) -> list[Html]:
    names = run.data.get("class_names")
    if not run.result or not isinstance(names, list):
        return []
    return predictions_section(read_predictions(run.path, len(names)), [str(n) for n in names])


def _time(run: RunView, search: SearchView) -> list[Html | None]:
    if not run.evaluations:
        return []
    clock = timing(run.evaluations)
    return [
        time_words(run, clock, search),
        time_figure(run, clock),
        time_table(clock),
        phase_table(run),
    ]


def page(title: str, body: object, refresh_seconds: int = 0, styles: str = _STYLES) -> str:
    """Return a whole HTML page with the report's style sheet.

    Args:
        title: Of the window.
        body: The content.
        refresh_seconds: Seconds after which the page reloads itself; 0 for never.
        styles: Rules of the charts on the page.
    """
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", http_equiv="refresh", content=str(refresh_seconds))
        if refresh_seconds
        else None,
        element("title", title),
        element(
            "style",
            Html(style_sheet(styles)),
        ),
    ]
    return (
        "<!DOCTYPE html>\n"
        + element("html", element("head", head), element("body", body), lang="en")
        + "\n"
    )


def _status(run: RunView) -> str:
    words = f"{run.status}, {count(len(run.evaluations), 'evaluation')}"
    created = run.environment.get("created")
    return f"{words}, begun {date_text(created)}" if created else words


def _footer(run: RunView) -> Html:
    now = date_text(datetime.now(UTC).isoformat())
    version = run.environment.get("packages", {})
    made = version.get("efn_compose") if isinstance(version, dict) else None
    return join(
        [
            escape(f"Drawn {now} from the run folder alone"),
            escape(f"; the run was made by efn_compose {made}." if made else "."),
        ]
    )


def _from_weights(run: RunView) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return donor of every filter and saliency of every part, where the weight file is whole."""
    path = run.path / str(run.result.get("weights") or WEIGHTS_FILE)
    # A name from a damaged result must not lead out of the folder.
    if not run.result or path.parent != run.path or not path.is_file():
        return {}, {}
    try:
        with WeightFile(path) as file:
            return file.read_donor_map(), segment_saliency(file)
    except (EfnComposeError, OSError, KeyError, ValueError):
        return {}, {}
