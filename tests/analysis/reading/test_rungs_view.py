"""Cheap rungs in the report: their correlation with the full evaluation, and where they do not belong."""

import re

import numpy as np
import pytest
from page_checks import Page
from report_runs import MadeUpRun
from scipy import stats

from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.analysis.reading.rungs_view import rungs_view, spearman
from efn_compose.analysis.reading.search_view import search_view
from efn_compose.compose import Recipe
from efn_compose.evolve.genetic.rungs import TRUSTED

HOSTILE = "<b>probe</b>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose first rung is a rising function of the full loss, whose second is chance."""
    made = MadeUpRun(generations=3).search(failing_rate=0)
    rng = np.random.default_rng(1)
    first = [r for r in made.records if r["phase"] == "search" and r["generation"] == 0]
    for record in first:
        full = record["scores"]["validation"]["loss"]
        recipe = Recipe.genome(tuple(record["recipe"]["values"]))
        for arm, loss in ((HOSTILE, 5 + full**3), ("quarter", rng.normal())):
            made.evaluate("rung", recipe, 5000, arm=arm)
            made.records[-1]["scores"]["validation"]["loss"] = float(loss)
    # Looked at later and never evaluated: rejected.
    for number in range(3):
        genome = tuple([number] * 5 + [5 - number] * (len(made.space.loci) - 5))
        made.evaluate("rung", Recipe.genome(genome), 5001, generation=1, arm="quarter")
    return read_run(made.finals().write(tmp_path_factory.mktemp("rungs") / "run"))


def test_correlations_are_scipys(run):
    probe, quarter = rungs_view(run)
    assert (probe.name, probe.correlation) == (HOSTILE, 1.0)
    assert probe.interval == (1.0, 1.0) and probe.rejected == 0
    assert quarter.rejected == 3 and quarter.evaluations == len(quarter.pairs) + 3
    assert quarter.correlation == pytest.approx(stats.spearmanr(*quarter.pairs.T).statistic)
    low, high = quarter.interval
    assert low < quarter.correlation < high and high - low > 0.3


def test_too_little_gives_no_correlation():
    assert spearman(np.zeros((0, 2))) == (None, None)
    assert spearman(np.ones((20, 2))) == (None, None)


def test_the_page_shows_rungs_and_keeps_their_losses_out_of_the_search(run):
    page = Page(render_report(run)).check()
    assert "rungs" in page.ids
    assert HOSTILE in page.text and "rank correlation +1.00" in page.text
    # What the search does: a rung rejects, and none chooses.
    section = page.text.split("A rung looks at newcomers")[1]
    assert section.startswith(" cheaply and can reject them. In the first generation")
    assert f"not used again (rank correlation below {TRUSTED})." in section
    # A rung's loss is another quantity: as many dots as without rungs, and the same best.
    scored = [e for e in run.evaluations if e.loss is not None and e.phase != "rung"]
    labels = [f["aria-label"] for f in page.find("svg") if "aria-label" in f]
    (label,) = {one for one in labels if one.startswith("Validation loss of")}
    assert int(re.search(r"of ([\d,]+) evaluations", label)[1]) == len(scored)
    assert search_view(run).best.loss < 1


def test_without_rungs_there_is_no_section(tmp_path):
    folder = MadeUpRun(generations=1).search().write(tmp_path / "run", finished=False)
    assert "rungs" not in Page(render_report(read_run(folder))).check().ids
