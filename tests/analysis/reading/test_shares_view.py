"""What a report says of shares, against losses whose minimum is known."""

import json

import numpy as np
import pytest
from page_checks import Page
from report_runs import MadeUpRun

from efn_compose.analysis.card.card import render_card
from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.composition.shares import shares_view
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.analysis.reading.search_view import search_view
from efn_compose.compose.share_space import STEPS
from efn_compose.evolve.genetic.shares import surrogate

NANO = "lite-w0.25-d0.3"
#: Shares of the two relatives that have the least loss.
BEST = np.array([0.75, -0.125])


def made(folder, granularity="network_share", generations=6):
    """Write a run whose losses rise with the squared distance to the best shares."""
    run = MadeUpRun(
        generations=generations, population=12, names=("lite1", "lite0", "own"), variant=NANO,
        granularity=granularity, gain=0.6, noise=0.001,
    ).search(failing_rate=0.0)  # fmt: skip
    path = run.finals().write(folder)
    journal = path / "evaluations.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    luck = np.random.default_rng(1).normal(0, 0.05, 100)
    for line in lines:
        values = line.get("recipe", {}).get("values")
        if line.get("phase") == "search" and line["recipe"]["kind"] == "genome":
            shares = np.array(values) / 32 - 0.5
            away = shares.reshape(-1, 2) - BEST
            loss = 1 + float((away**2).mean(axis=0).sum()) + luck[line["generation"]]
            line["scores"]["validation"]["loss"] = loss
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_curves_have_their_minimum_where_the_loss_has(tmp_path):
    run = read_run(made(tmp_path / "run"))
    view = shares_view(run, search_view(run))
    assert [curve.donor for curve in view.curves] == [1, 2]
    for curve, best in zip(view.curves, BEST, strict=True):
        assert curve.shares[curve.means.argmin()] == pytest.approx(best, abs=0.1)
        # Along a curve the true loss is a parabola, whatever the other share.
        near = np.abs(curve.shares - best) < 0.5
        rise = curve.means[near] - curve.means.min()
        assert rise == pytest.approx((curve.shares[near] - best) ** 2, abs=0.05)
        assert (curve.deviations > 0).all()


def test_the_caption_counts_the_evaluations_that_the_model_has(tmp_path, monkeypatch):
    run = read_run(made(tmp_path / "run"))
    # A fit takes 400 at most; as many evaluations would make this test a slow one.
    monkeypatch.setattr(surrogate, "_MOST", 30)
    assert len(run.by_phase["search"]) > 60
    text = Page(render_report(run)).text
    assert "What a model of 30 evaluations believes" in text


def test_the_composition_is_marked_at_its_shares(tmp_path):
    path = made(tmp_path / "run")
    result = json.loads((path / "result.json").read_text())
    written = {"winner": "composed", "recipe": {"kind": "genome", "values": [56, 8]}}
    (path / "result.json").write_text(json.dumps(result | written))
    run = read_run(path)
    view = shares_view(run, search_view(run))
    assert [curve.found for curve in view.curves] == [56 / STEPS - 0.5, 8 / STEPS - 0.5]
    page = render_report(run)
    assert '<section id="shares"' in page and '<section id="diversity"' not in page
    assert "Shares of the composition: lite0 1.25, own −0.25" in page


def test_weights_below_zero_are_no_shares_of_parameters(tmp_path):
    path = made(tmp_path / "run")
    result = json.loads((path / "result.json").read_text())
    # Shares 1 and 0.5 are the average with weights -0.5, 1 and 0.5: half of all sizes is lite0's.
    written = {"winner": "composed", "recipe": {"kind": "genome", "values": [48, 32]}}
    (path / "result.json").write_text(json.dumps({**result, **written, "donor_map": None}))
    run = read_run(path)
    text, card = Page(render_report(run)).text, render_card(run)
    assert "that of B, lite0, is the largest, 50 % of all sizes" in text
    assert "of all parameters" not in text and "Share of parameters" not in card
    assert "| Size of its weight, of all sizes |" in card


def test_levels_are_means_over_genomes_and_parts(tmp_path):
    path = made(tmp_path / "run", "stage_share")
    run = read_run(path)
    view = shares_view(run, search_view(run))
    for number, levels in zip(view.generations, view.levels, strict=True):
        genomes = [
            line["recipe"]["values"]
            for line in map(json.loads, (path / "evaluations.jsonl").read_text().splitlines())
            if line.get("phase") == "search" and line["generation"] == number
        ]
        for relative in (0, 1):
            genes = [gene for genome in genomes for gene in genome[relative::2]]
            assert levels[relative] == pytest.approx(np.mean(genes) / 32 - 0.5)


def test_few_evaluations_and_other_genes_have_no_curves(tmp_path):
    early = read_run(made(tmp_path / "early", "stage_share", generations=1))
    assert shares_view(early, search_view(early)) is None
    blocks = MadeUpRun(generations=3, population=8).search().finals().write(tmp_path / "blocks")
    run = read_run(blocks)
    assert shares_view(run, search_view(run)) is None
    page = render_report(run)
    assert '<section id="shares"' not in page and '<section id="diversity"' in page
