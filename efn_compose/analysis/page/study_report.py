"""report.html of a study: one self-contained page, redrawn from its folder alone."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.analysis.charts.study import effects, heat_maps, parallel
from efn_compose.analysis.charts.study.costs import cost_figure
from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import facts, folded, section, table
from efn_compose.analysis.page.report import page
from efn_compose.analysis.reading.figures import (
    NOTHING,
    count,
    duration,
    loss_text,
    mean_and_error,
    signed,
)
from efn_compose.analysis.reading.study.budget import budget_lines
from efn_compose.analysis.reading.study.folder import read_study
from efn_compose.analysis.reading.study.free_scores import FREE_NAMES, free_ranks
from efn_compose.analysis.reading.study.view import StudyView, level_text
from efn_compose.analysis.reading.study.words import data_verdicts, interaction_lines, verdict
from efn_compose.assess.studies.blocks import mean_with_error
from efn_compose.assess.studies.interactions import TOLD_APART
from efn_compose.assess.studies.lead import Lead
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
        ("scores", "By score", [_combinations(study, by_score, "Best first. ")]),
        ("effects", "Main effects", [effects.effects_figure(study), _by_data(study)]),
        ("pairs", "Pairs of axes", [heat_maps.heat_maps(study)]),
        ("lines", "All axes at once", [parallel.parallel_figure(study)]),
        (
            "cost",
            "Cost",
            [
                _budget(study),
                cost_figure(study, study.multiply_adds, "multiply-adds per image"),
                cost_figure(study, study.seconds, "measured seconds per training"),
                folded("All combinations, the cheapest first", _combinations(study, by_cost, "")),
            ],
        ),
        ("free", "Without training", _free(study)),
        ("failures", "Failures", _failures(study)),
        ("design", "Design", _design(study)),
    ]
    shown = [(key, title, parts) for key, title, parts in sections if any(parts)]
    links = [element("li", element("a", title, href=f"#{key}")) for key, title, _ in shown]
    more = [*data_verdicts(study), *interaction_lines(study)]
    body = [
        element("a", "Skip to the verdict", href="#verdict", class_="skip"),
        element(
            "div",
            element("header", element("h1", "Study ", name(study.path.name))),
            element(
                "main",
                element("p", verdict(study), class_="lead", id="verdict"),
                element("ul", [element("li", name(words)) for words in more]) if more else None,
                element("p", _how_told_apart(study), class_="words quiet"),
                _facts(study),
                element("nav", element("ul", links), aria_label="Sections"),
                [section(key, title, parts) for key, title, parts in shown],
            ),
            element("footer", "Drawn from the run folder alone."),
            class_="page",
        ),
    ]
    return page(f"Study {study.path.name}: {verdict(study)}", body, styles=_STYLES)


def _how_told_apart(study: StudyView) -> str:
    if not any(lead.tied for lead in (study.lead, *study.leads)):
        return ""
    words = (
        "A combination counts as best only where it is ahead of each other one by more than a "
        "standard error of the paired difference, by Holm's rule for all comparisons together. "
    )
    if study.has_folds:
        words += (
            "Seeds of a fold share its images and are averaged, so that errors are those over folds. "
            "Folds share training images, so these errors are a guide."
        )
    else:
        words += (
            "There is one fold: errors are those over seeds, and the luck of the images that judge is "
            "in none of them. Several folds cover it."
        )
    if study.is_of_several:
        words += (
            " Differences are taken on the same data set, fold and seed. Over all data sets the "
            "error is that of all these differences: it holds for these data sets, and is too "
            "small for others."
        )
    return words


def _facts(study: StudyView) -> Html:
    failed = sum(bool(row.error) for row in study.rows)
    spent = np.nansum([row.seconds for row in study.rows])
    blocks = study.design["blocks"]
    folds, seeds = ({block[key] for block in blocks} for key in ("fold", "seed"))
    return facts(
        [
            (
                "Combinations",
                f"{len(study.points):,}",
                f"of {count(len(study.axes), 'axis', 'axes')}",
            ),
            ("Trainings", f"{len(study.rows):,}", f"{failed} failed" if failed else None),
            (
                "Per combination",
                count(len(blocks) * len(study.data_sets), "training"),
                _block_words(study, folds, seeds),
            ),
            ("Time", duration(float(spent)), "of all trainings, tracing left out"),
        ]
    )


def _block_words(study: StudyView, folds: set[int], seeds: set[int]) -> str:
    words = f"{count(len(folds), 'fold')}, {count(len(seeds), 'seed')}"
    return f"{count(len(study.data_sets), 'data set')}, {words}" if study.is_of_several else words


def _combinations(study: StudyView, order: np.ndarray, caption: str) -> Html:
    tied = set(study.lead.tied)
    sets = range(len(study.data_sets)) if study.is_of_several else range(0)
    rows, classes = [], []
    for combination in order[:_LISTED]:
        number = int(combination)
        adds, seconds = study.multiply_adds[number], study.seconds[number]
        rows.append(
            [
                [f"{number} ", name(study.name(number))],
                _mean(study, number),
                _standing(study.lead, number),
                *(_on_data(study, number, data) for data in sets),
                NOTHING if np.isnan(adds) else f"{adds / 1e6:,.2f} M",
                NOTHING if np.isnan(seconds) else duration(float(seconds)),
                *_spent(study, number),
            ]
        )
        classes.append("winner" if number in tied else "")
    more = len(order) - len(rows)
    words = f"{caption}Mean {study.metric} ± standard error; coloured: best, or tied with it."
    if study.is_of_several:
        words = (
            f"{caption}First the {study.metric} less the mean of its data set, fold and seed, "
            f"± standard error; then the mean {study.metric} on each data set, and whether the "
            "combination is best there, or tied with the best. Coloured: best, or tied, over all."
        )
    if more > 0:
        words += f" {count(more, 'further combination')} in table.csv."
    own = [study.data_sets[data] for data in sets]
    head = ["Combination", "Difference" if study.is_of_several else f"Mean {study.metric}"]
    head += ["Standing", *own, "Multiply-adds", "Seconds"]
    head += ["Epochs", f"{study.clock.capitalize()} seconds"] if _has_spent(study) else []
    numeric = (1, *range(3, len(head)))
    return table(head, rows, numeric=numeric, caption=words, row_classes=classes)


def _budget(study: StudyView) -> Html | None:
    lines = budget_lines(study)
    return element("ul", [element("li", name(words)) for words in lines]) if lines else None


def _has_spent(study: StudyView) -> bool:
    """Whether seconds were measured that other work on the machine does not move."""
    return bool(np.isfinite(study.spent).any())


def _spent(study: StudyView, combination: int) -> list[str]:
    """Return the epochs of a combination, and the seconds that they took."""
    if not _has_spent(study):
        return []
    spent = study.spent[combination]
    epochs = " or ".join(map(str, study.epochs(combination)))
    return [epochs or NOTHING, NOTHING if np.isnan(spent) else f"{spent:.2f} s"]


def _mean(study: StudyView, combination: int) -> str:
    """Return the mean that combinations are ordered by: each data set has the same share."""
    values = study.compared[combination]
    known = np.isfinite(values)
    if not known.any():
        return NOTHING
    mean, error = mean_with_error(values[known], study.block_data[known])
    shown = signed(mean) if study.is_of_several else loss_text(mean)
    return shown if np.isnan(error) else f"{shown} ± {error:.4f}"


def _on_data(study: StudyView, combination: int, data: int) -> list[str]:
    values = study.in_blocks(study.scores)[combination, study.block_data == data]
    standing = _standing(study.leads[data], combination)
    return [
        mean_and_error([float(value) for value in values[np.isfinite(values)]]),
        f" {standing}" if standing in ("best", "tied") else "",
    ]


def _standing(lead: Lead, combination: int) -> str:
    if combination == lead.leader:
        return "best" if lead.is_alone else "tied"
    if combination in lead.tied:
        return "tied"
    return "behind" if np.isfinite(lead.probability[combination]) else "not compared"


def _by_data(study: StudyView) -> Html | None:
    """Return the effects of axes that do different things on different data sets."""
    if not study.dependent:
        return None
    rows = [
        [
            name(f"{study.axes[n][0]} {level_text(level)}"),
            *(
                NOTHING if effect.mean is None else signed(effect.mean)
                for effect in (effects[n][place] for effects in study.effects_by_data)
            ),
        ]
        for n in study.dependent
        for place, level in enumerate(study.axes[n][1])
    ]
    return table(
        ["Level", *study.data_sets],
        rows,
        numeric=range(1, 1 + len(study.data_sets)),
        caption=f"Effects on {study.metric} by data set, of the axes whose effects differ between "
        f"data sets (F-test, probability at most {TOLD_APART:g} after Holm).",
    )


def _free(study: StudyView) -> list[Html | None]:
    if not study.free:
        return []
    points: dict[int, dict[str, list[float]]] = {}
    for point, score, value in study.free:
        points.setdefault(point, {}).setdefault(score, []).append(value)
    rows = [
        [
            name(study.point_name(point)),
            *(
                loss_text(float(np.mean(scores[key])), 3) if key in scores else NOTHING
                for key in FREE_NAMES
            ),
            mean_and_error(list(study.point_scores(point))),
        ]
        for point, scores in sorted(points.items())
    ]
    ranks = [
        [
            name(rank.data),
            FREE_NAMES[rank.score],
            str(rank.donors),
            NOTHING if rank.correlation is None else signed(rank.correlation, 2),
            NOTHING
            if rank.interval is None
            else f"{signed(rank.interval[0], 2)} to {signed(rank.interval[1], 2)}",
        ]
        for rank in free_ranks(study)
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
            name(study.point_name(row.point)),
            f"fold {study.design['blocks'][row.repeat]['fold']}",
            f"seed {study.design['blocks'][row.repeat]['seed']}",
            name(row.error),
        ]
        for row in failed[:_LISTED]
    ]
    more = len(failed) - len(rows)
    words = f"{len(failed):,} failed"
    words += f"; the first {len(rows)} are listed, all of them in table.csv." if more else "."
    return [table(["Combination", "Fold", "Seed", "Reason"], rows, caption=words)]


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
