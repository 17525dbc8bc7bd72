"""report.html of a study: one self-contained page, redrawn from its folder alone."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.analysis.charts.figures import NOTHING, count, duration, mean_and_error
from efn_compose.analysis.charts.study import effects, heat_maps, parallel
from efn_compose.analysis.charts.study.costs import cost_figure
from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.page.report import page
from efn_compose.analysis.page.report_parts import facts, section, table
from efn_compose.analysis.reading.study_view import FREE_NAMES, StudyView, level_text, read_study
from efn_compose.store import write_text
from efn_compose.store.run_folder import REPORT_FILE

_STYLES = effects.STYLE + heat_maps.STYLE + parallel.STYLE
#: Rows of a table; a sample of thousands is read in table.csv.
_LISTED = 60


def write_study_report(
    path: str | os.PathLike[str], output: str | os.PathLike[str] | None = None
) -> Path:
    """Draw a study's report from its folder alone and write it, atomically.

    Args:
        path: The run folder; the study may be going on.
        output: The page to write; default `report.html` in the folder.

    Raises:
        RunError: The folder holds no study, or the page cannot be written.

    Example:
        >>> write_study_report("runs/study")  # doctest: +SKIP
        PosixPath('runs/study/report.html')
    """
    target = Path(path) / REPORT_FILE if output is None else Path(output)
    write_text(target, render_study(read_study(path)))
    return target


def render_study(study: StudyView) -> str:
    """Return the report's page."""
    by_score = np.argsort(np.nan_to_num(study.sign * study.means, nan=np.inf), kind="stable")
    costs = study.multiply_adds if np.isfinite(study.multiply_adds).any() else study.seconds
    by_cost = np.argsort(np.nan_to_num(costs, nan=np.inf), kind="stable")
    sections: list[tuple[str, str, Sequence[Html | None]]] = [
        ("scores", "By score", [_points_table(study, by_score, "Best first.")]),
        ("effects", "Main effects", [effects.effects_figure(study)]),
        ("pairs", "Pairs of axes", [heat_maps.heat_maps(study)]),
        ("lines", "All axes at once", [parallel.parallel_figure(study)]),
        (
            "cost",
            "Cost",
            [
                cost_figure(study, study.multiply_adds, "multiply-adds per image"),
                cost_figure(study, study.seconds, "measured seconds per training"),
                _points_table(study, by_cost, "Cheapest first."),
            ],
        ),
        ("free", "Without training", _free(study)),
        ("failures", "Failures", _failures(study)),
        ("design", "Design", _design(study)),
    ]
    shown = [(key, title, parts) for key, title, parts in sections if any(parts)]
    links = [element("li", element("a", title, href=f"#{key}")) for key, title, _ in shown]
    body = [
        element("a", "Skip to the verdict", href="#verdict", class_="skip"),
        element(
            "div",
            element("header", element("h1", "Study ", name(study.path.name))),
            element(
                "main",
                element("p", study.verdict, class_="lead", id="verdict"),
                element("p", _how_told_apart(study), class_="words quiet"),
                _facts(study),
                element("nav", element("ul", links), aria_label="Sections"),
                [section(key, title, parts) for key, title, parts in shown],
            ),
            element("footer", "Drawn from the run folder alone."),
            class_="page",
        ),
    ]
    return page(f"Study {study.path.name}: {study.verdict}", body, styles=_STYLES)


def _how_told_apart(study: StudyView) -> str:
    if not study.lead.tied:
        return ""
    return (
        "A combination counts as best only where it is ahead of each other one by more than a "
        "standard error of the paired difference, by Holm's rule for all comparisons together. "
        "Folds share training images, so standard errors over folds are a guide."
    )


def _facts(study: StudyView) -> Html:
    failed = sum(bool(row.error) for row in study.rows)
    spent = np.nansum([row.seconds for row in study.rows])
    blocks = study.design["blocks"]
    folds, seeds = ({block[key] for block in blocks} for key in ("fold", "seed"))
    return facts(
        [
            (
                "Combinations",
                f"{len(study.means):,}",
                f"of {count(len(study.axes), 'axis', 'axes')}",
            ),
            ("Trainings", f"{len(study.rows):,}", f"{failed} failed" if failed else None),
            ("Per combination", count(len(blocks), "training"), _block_words(folds, seeds)),
            ("Time", duration(float(spent)), "of all trainings, tracing left out"),
        ]
    )


def _block_words(folds: set[int], seeds: set[int]) -> str:
    return f"{count(len(folds), 'fold')}, {count(len(seeds), 'seed')}"


def _points_table(study: StudyView, order: np.ndarray, caption: str) -> Html:
    tied = set(study.lead.tied)
    rows, classes = [], []
    for point in order[:_LISTED]:
        number = int(point)
        found = study.scores[number][np.isfinite(study.scores[number])]
        adds, seconds = study.multiply_adds[number], study.seconds[number]
        rows.append(
            [
                [f"{number} ", name(study.name(number))],
                mean_and_error(list(found)),
                _standing(study, number),
                NOTHING if np.isnan(adds) else f"{adds / 1e6:,.2f} M",
                NOTHING if np.isnan(seconds) else duration(float(seconds)),
            ]
        )
        classes.append("winner" if number in tied else "")
    more = len(order) - len(rows)
    words = f"{caption} Mean {study.metric} ± standard error; coloured: best, or tied with it."
    if more > 0:
        words += f" {count(more, 'further combination')} in table.csv."
    head = ["Combination", f"Mean {study.metric}", "Standing", "Multiply-adds", "Seconds"]
    return table(head, rows, numeric=(1, 3, 4), caption=words, row_classes=classes)


def _standing(study: StudyView, point: int) -> str:
    lead = study.lead
    if point == lead.leader:
        return "best" if lead.is_alone else "tied"
    if point in lead.tied:
        return "tied"
    return "behind" if np.isfinite(lead.probability[point]) else "no score"


def _free(study: StudyView) -> list[Html | None]:
    if not study.free:
        return []
    points: dict[int, dict[str, list[float]]] = {}
    for point, score, value in study.free:
        points.setdefault(point, {}).setdefault(score, []).append(value)
    rows = [
        [
            name(study.name(point)),
            *(f"{np.mean(scores[key]):.3f}" if key in scores else NOTHING for key in FREE_NAMES),
            mean_and_error(list(study.scores[point][np.isfinite(study.scores[point])])),
        ]
        for point, scores in sorted(points.items())
    ]
    ranks = [
        [
            name(data),
            FREE_NAMES[score],
            str(donors),
            NOTHING if found is None else f"{found:+.2f}",
            NOTHING if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}",
        ]
        for data, score, donors, found, interval in study.correlations()
    ]
    return [
        table(
            ["Donor", *FREE_NAMES.values(), f"Trained: {study.metric}"],
            rows,
            numeric=range(1, 5),
            caption="Scores of frozen features, higher is better, beside the trained result.",
        ),
        table(
            ["Data", "Score", "Donors", "Rank correlation", "95 % interval"],
            ranks,
            numeric=(2, 3, 4),
            caption="Spearman's correlation of each score with the trained result: +1 means that "
            "ranking without training suffices here. It takes six donors.",
        ),
    ]


def _failures(study: StudyView) -> list[Html | None]:
    failed = [row for row in study.rows if row.error]
    if not failed:
        return []
    rows = [
        [
            name(study.name(row.point)),
            f"fold {study.design['blocks'][row.block]['fold']}",
            f"seed {study.design['blocks'][row.block]['seed']}",
            name(row.error),
        ]
        for row in failed[:_LISTED]
    ]
    return [
        table(["Combination", "Fold", "Seed", "Reason"], rows, caption=f"{len(failed)} failed.")
    ]


def _design(study: StudyView) -> list[Html | None]:
    rows = [
        [name(axis["name"]), name(", ".join(level_text(level) for level in axis["levels"]))]
        for axis in study.design["axes"]
    ]
    config = shlex.quote(str(study.path / "config.toml"))
    again = shlex.quote(str(study.path.with_name(f"{study.path.name}-again")))
    return [
        table(["Axis", "Levels"], rows, caption="One level: the same in all trainings."),
        element("p", "The same study again:"),
        element("pre", f"efn-compose study {study.design['kind']} {config} -o {again}"),
    ]
