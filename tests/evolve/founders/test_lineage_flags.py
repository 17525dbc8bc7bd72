"""Mixing and averaging across lineages is never silent."""

import dataclasses
import json

import numpy as np
import pytest
from fake_executor import FakeExecutor
from nano_run import write_nano_experiment
from random_donors import random_donor
from report_runs import MadeUpRun
from search_runs import DONORS, QuietWatcher, run_search

from efn_compose.analysis.card.card import render_card
from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.compose import Recipe, genome_space
from efn_compose.donors.lineage import lineage_numbers, share_basis
from efn_compose.errors import IncompatibleDonorsError
from efn_compose.evolve.ending import describe_result
from efn_compose.evolve.founders.lineage_flags import LineageFlags
from efn_compose.jobs.search.preparation import prepare

STRANGER, OTHER = DONORS


def child_of(donor, name):
    rng = np.random.default_rng(0)
    noisy = {
        n: (v * rng.normal(1, 0.02, v.shape)).astype(v.dtype) for n, v in donor.tensors.items()
    }
    return donor.replace(name=name, tensors=noisy)


def aligned_to(reference, donor):
    record = {"to_fingerprint": reference.fingerprint, "groups": []}
    provenance = {"lineage": donor.fingerprint, "aligned": record}
    return donor.replace(provenance={**donor.provenance, **provenance})


def test_a_common_basis_is_one_lineage_or_an_alignment_to_a_donor_at_hand():
    child = child_of(STRANGER, "child")
    assert share_basis([STRANGER, child])
    assert not share_basis([STRANGER, OTHER])
    labelled = STRANGER.replace(provenance={"lineage": STRANGER.fingerprint})
    assert share_basis([labelled, aligned_to(STRANGER, OTHER)])
    third = random_donor(seed=3, name="c", classes=None)
    assert not share_basis([labelled, aligned_to(third, OTHER)])
    assert not share_basis([labelled, third, aligned_to(STRANGER, OTHER)])
    assert share_basis([aligned_to(third, STRANGER), aligned_to(third, OTHER)])


def test_a_run_over_strangers_says_so_in_notes_and_result(tmp_path, monkeypatch):
    notes = []
    monkeypatch.setattr(QuietWatcher, "on_note", lambda self, text: notes.append(text))
    result, _ = run_search(tmp_path, FakeExecutor())
    assert result.lineages == (("a",), ("b",))
    described = json.loads(json.dumps(describe_result(result, "x.h5", "0")))
    assert described["lineages"] == [["a"], ["b"]]
    assert any("without alignment" in flag for flag in notes)
    # Of what was written only if it is such a mixture.
    is_mixture = any(flag.startswith("The written weights") for flag in result.flags)
    assert any("without alignment. Such" in flag for flag in result.flags) == is_mixture
    assert any("uniform average" in flag for flag in notes)
    assert set(notes) <= set(described["flags"])


def test_what_was_written_is_judged_by_the_donors_it_uses():
    donors = [STRANGER, OTHER, child_of(STRANGER, "child")]
    space = genome_space(STRANGER.spec, 3, "block", lineages=lineage_numbers(donors))
    flags = LineageFlags.of(donors, space.lineages)
    assert flags.groups == [["a", "child"], ["b"]]
    mixed = list(space.pure(0))
    mixed[3] = 2
    assert not flags.of_winner(Recipe.genome(space.pure(1)), space)
    assert not flags.of_winner(Recipe.genome(mixed), space)
    assert not flags.of_winner(Recipe.average_of([0, 2], 3), space)
    mixed[4] = 1
    assert "without alignment" in flags.of_winner(Recipe.genome(mixed), space)[0]
    assert "average across 2 lineages" in flags.of_winner(Recipe.average(3), space)[0]
    # An average of later networks, whose training began as a mixture of strangers, or of one donor.
    average, later = Recipe.average_of([3, 4], 5), genome_space(STRANGER.spec, 5, "stage")
    assert not flags.of_winner(average, later)
    assert not flags.of_winner(average, later, space.decode(space.pure(1)))
    (said,) = flags.of_winner(average, later, space.decode(mixed))
    assert "began as a mixture of donors without alignment of 2 lineages" in said
    family = LineageFlags.of(donors[::2], (0, 0))
    assert not family.of_search()
    twice = [STRANGER, STRANGER.replace(name="again"), OTHER.replace(name="other")]
    said = LineageFlags.of(twice, (0, 0, 1)).of_search(with_average=False)
    assert [words for words in said if "are the same network" in words] == [
        "a and again are the same network: to mix these two changes nothing."
    ]
    one = dataclasses.replace(flags, is_aligned=True)
    assert len(one.of_search()) == 1  # an average of aligned strangers is no better founded


def test_report_and_card_repeat_the_flags(tmp_path):
    run = MadeUpRun(generations=1, population=6, variant="lite-w0.25-d0.3").search().finals()
    path = run.write(tmp_path / "run")
    result = json.loads((path / "result.json").read_text())
    result["flags"] = ["Donors of 2 lineages are mixed without alignment."]
    (path / "result.json").write_text(json.dumps(result))
    view = read_run(path)
    assert "mixed without alignment" in render_report(view)
    assert "**Note.** Donors of 2 lineages are mixed without alignment" in render_card(view)


def test_a_gene_per_filter_is_refused_for_strangers(tmp_path):
    config = write_nano_experiment(tmp_path)
    settings = ["search.granularity=filter", "donors.align=never"]
    with pytest.raises(IncompatibleDonorsError, match=r"'donor1'[\s\S]*'donor2'"):
        prepare(config, settings)
    assert prepare(config, [settings[0], "donors.align=auto"]).config.search.granularity == "filter"
