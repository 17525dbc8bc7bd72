"""A study read from its folder: rows, verdicts, free scores."""

import csv
import io

import numpy as np
import pytest
from made_up_study import AXES, write_study
from scipy import stats

from efn_compose.analysis.page.study_report import render_study
from efn_compose.analysis.reading.study.budget import budget_lines, spreads
from efn_compose.analysis.reading.study.folder import read_study
from efn_compose.analysis.reading.study.free_scores import free_ranks
from efn_compose.analysis.reading.study.tables import table_csv
from efn_compose.cli import main
from efn_compose.errors import RunError
from efn_compose.store import read_journal


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study") / "made up")


def test_the_view_is_what_the_journal_says(folder):
    view = read_study(folder)
    records = [r for r in read_journal(folder / "evaluations.jsonl").records if r["seed"]]
    assert len(view.rows) == len(records) == 96
    by_point = {}
    for record in records:
        if record["scores"]:
            by_point.setdefault(record["point"], []).append(record["scores"]["loss"])
    assert view.means == pytest.approx([np.mean(by_point[point]) for point in range(48)])
    table = list(csv.DictReader(io.StringIO(table_csv(view))))
    assert sum(bool(row["error"]) for row in table) == sum(bool(r["error"]) for r in records) == 8
    assert {row["weights"] for row in table} == set(AXES["weights"])
    # Losses fall by 0.1 per donor, 0.2 per two of them.
    weights = view.effects[0]
    assert weights[0].mean - weights[5].mean == pytest.approx(0.5, abs=0.05)


def test_free_scores_are_compared_with_the_trained_result(folder):
    view = read_study(folder)
    first = free_ranks(view)[0]
    donors = [point for point, name, _ in view.free if name == "knn"]
    wanted = stats.spearmanr(range(6), [-view.means[point] for point in donors]).statistic
    assert (first.score, first.donors) == ("knn", 6)
    assert first.correlation == pytest.approx(wanted)


def test_how_equal_seconds_came_out_is_said_of_each_data_set(tmp_path):
    view = read_study(write_study(tmp_path / "study", data_sets=2))
    found = spreads(view)
    assert [one.data for one in found] == view.data_sets
    by_point = {}
    for row in read_journal(tmp_path / "study/evaluations.jsonl").records:
        if row["seed"] and row["scores"]:
            by_point.setdefault(row["point"], []).append(row["timing"]["epochs"])
    # Data sets vary before sizes do, and take two points each.
    means = [np.mean(times) for point, times in by_point.items() if point // 2 % 2 == 0]
    assert len(means) == 48
    assert found[0].variation == pytest.approx(np.std(means) / np.mean(means))
    assert (found[0].lowest, found[0].highest) == pytest.approx((min(means), max(means)))
    lines = budget_lines(view)
    assert lines[0] == "All trainings have equal epochs: 8."
    assert f"took {min(means):.2f} to {max(means):.2f} processor" in lines[1] and len(lines) == 3


def test_report_draws_a_study_again(folder, tmp_path, capsys):
    assert main(["report", str(folder), "-o", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == render_study(read_study(folder))
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")


def test_damaged_designs_are_refused_and_names_are_escaped(folder, tmp_path):
    with pytest.raises(RunError, match="no study"):
        read_study(tmp_path)
    page = render_study(read_study(folder))
    assert "<b>lite0" not in page and "<nan>" not in page
