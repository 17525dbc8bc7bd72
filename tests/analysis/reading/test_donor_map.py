"""Reports of searches whose genes say more than the donor of a part."""

import json

import pytest
from report_runs import MadeUpRun

from efn_compose.analysis.card.card import render_card
from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.composition.donor_map import donor_maps
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.analysis.reading.search_view import search_view
from efn_compose.compose.unit_space import BLEND

NANO = "lite-w0.25-d0.3"


def made(folder, granularity, best=None):
    run = MadeUpRun(
        generations=3, population=8, names=("lite1", "lite0", "own"), variant=NANO,
        granularity=granularity, gain=0.6, noise=0.001,
    ).search(failing_rate=0.0)  # fmt: skip
    if best is not None:
        run.best = [run.space.canonical(best(run.space))] * 4
    return run.finals().write(folder)


@pytest.mark.parametrize("granularity", ["unit", "filter", "stage_share"])
def test_pure_donors_are_known_and_shares_are_of_donors(tmp_path, granularity):
    path = made(tmp_path / "run", granularity)
    run = read_run(path)
    assert not run.problems
    search = search_view(run)
    assert set(search.standing.donors) == {0, 1, 2}
    for number, mean in search.standing.donors.items():
        assert mean == pytest.approx(0.42 + 0.035 * number, abs=0.03)
    assert all(sum(g.shares) == pytest.approx(1) for g in search.generations)
    page, card = render_report(run), render_card(run)
    assert f"({granularity} granularity)" in card
    assert "Step by step" not in page  # genes of several kinds are no line of donors


def test_shares_are_named_in_words_and_weigh_without_their_signs(tmp_path):
    path = made(tmp_path / "run", "stage_share")
    result = json.loads((path / "result.json").read_text())
    genes = [56, 0] + [16] * (len(json.loads((path / "donors.json").read_text())["loci"]) - 2)
    written = {"winner": "composed", "recipe": {"kind": "genome", "values": genes}}
    (path / "result.json").write_text(json.dumps(result | written | {"donor_map": None}))
    run = read_run(path)
    stem = donor_maps(run, search_view(run))[0].segments[0]
    # A quarter of the ancestor, 1.25 of donor 1 and half of donor 2 the other way: two in all.
    assert stem.shares == pytest.approx({1: 0.625, 2: 0.25, 0: 0.125})
    card, page = (text.replace("\u00a0", " ") for text in (render_card(run), render_report(run)))
    assert "| stem | lite1, moved by lite0 125 %, own −50 % |" in card
    assert "stem: A lite1, moved by 125 % to B lite0, moved by −50 % to C own" in page


def test_blocks_that_a_training_began_with_as_averages_are_drawn_so(tmp_path):
    path = made(tmp_path / "run", "unit")
    result = json.loads((path / "result.json").read_text())
    names = [block["name"] for block in json.loads((path / "donors.json").read_text())["loci"]]
    segments = {"stem", "top", *(name[: name.rindex("_")] for name in names if "_block" in name)}
    result |= {"winner": "composed", "is_start": True, "donor_map": dict.fromkeys(segments, 1)}
    result |= {"recipe": {"kind": "average", "values": [0.5, 0.5, 0.0]}}
    result["blends"] = {"stage3_block1": {"donor": 2, "share": 0.25}, "top": {"donor": "x"}}
    (path / "result.json").write_text(json.dumps(result))
    run = read_run(path)
    view = donor_maps(run, search_view(run))[0]
    shares = {segment.name: segment.shares for segment in view.segments}
    assert "began as" in view.title
    assert shares.pop("stage3_block1") == {1: 0.75, 2: 0.25}
    assert all(found == {1: 1.0} for found in shares.values())


@pytest.mark.parametrize(
    ("winner", "title"),
    [
        ("uniform_average", "the average of all donors"),
        ("composed", "an average of networks that this run trained"),
        ("trained_average", "an average of networks that this run trained"),
    ],
)
def test_an_average_of_networks_of_the_run_is_none_of_all_donors(tmp_path, winner, title):
    path = made(tmp_path / "run", "block")
    result = json.loads((path / "result.json").read_text())
    recipe = {"kind": "average", "values": [0.0, 0.75, 0.25]}
    (path / "result.json").write_text(
        json.dumps(result | {"winner": winner, "recipe": recipe, "donor_map": None})
    )
    run = read_run(path)
    assert donor_maps(run, search_view(run))[0].title == f"The written weights: {title}"
    assert "Every weight is the mean of 2 networks" in render_report(run)


def test_an_average_is_drawn_as_bands_and_named_in_words(tmp_path):
    def blended(space):
        names = [locus.name for locus in space.loci]
        genome = list(space.pure(0))
        for part, value in (("second", 2), ("fraction", 2), ("rule", BLEND)):
            genome[names.index(f"stage3_block1_{part}")] = value
        return genome

    path = made(tmp_path / "run", "unit", blended)
    result = json.loads((path / "result.json").read_text())
    result |= {"winner": "composed"}
    (path / "result.json").write_text(json.dumps(result))
    run = read_run(path)
    view = donor_maps(run, search_view(run))[-1]
    shares = {segment.name: segment.shares for segment in view.segments}
    assert shares["stage3_block1"] == {0: 0.75, 2: 0.25}
    assert all(found == {0: 1.0} for name, found in shares.items() if name != "stage3_block1")
    assert "25 % C own, averaged" in render_report(run).replace("\u00a0", " ")
    assert "own 25" in render_card(run) and ", averaged" in render_card(run)
