"""What the report computes, against brute force and published numbers."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from report_runs import MadeUpRun
from repository import ROOT

from efn_compose.analysis.charts.chart_time import phase_table
from efn_compose.analysis.html.palette import (
    DARK,
    DONORS_DARK,
    DONORS_LIGHT,
    LIGHT,
    contrast,
    ink_on,
    letter,
)
from efn_compose.analysis.html.report_svg import nice_ticks, shortened, spread
from efn_compose.analysis.reading.composition.donor_map import donor_maps
from efn_compose.analysis.reading.evaluation_view import EvaluationView
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.analysis.reading.search_view import mean_distance, search_view
from efn_compose.analysis.reading.timing import timing
from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.donors.licences import resulting_licence


def evaluation(index, worker, wall, finished, error=None, **seconds):
    return EvaluationView(
        index=index, phase="search", generation=0, arm="", kind="genome", values=(0, 1), seed=1,
        scores={} if error else {"validation": {"loss": 1.0}}, error=error, seconds=seconds,
        wall_seconds=wall, worker=worker, memory_mb=1.0, attempts=1, finished=finished,
    )  # fmt: skip


def test_overhead_is_everything_but_bn_epoch_and_score():
    first = evaluation(0, 0, 30.0, 130.0, compose=1.0, bn=2.0, epoch=20.0, score=3.0)
    second = evaluation(1, 0, 10.0, 140.0, compose=0.5, assign=0.5, bn=2.0, epoch=6.0, score=1.0)
    found = timing([first, second])
    assert found.overhead_share == pytest.approx(0.1)
    assert found.overhead_share_with_first == pytest.approx(6 / 40)
    assert found.by_phase["other"] == pytest.approx(4.0)
    assert sum(found.by_phase.values()) == pytest.approx(40.0)


def test_pauses_are_not_work():
    runs = [evaluation(n, 0, 1.0, 100.0 + n) for n in range(5)]
    runs += [evaluation(n, 0, 1.0, 5000.0 + n) for n in range(5, 10)]
    found = timing(runs)
    assert found.busy_seconds == pytest.approx(10.0)
    assert found.span_seconds == pytest.approx(5009 - 99)
    assert found.evaluations_per_hour == pytest.approx(3600)


def test_evaluations_written_late_do_not_overlap_on_their_worker():
    # Worker 1 ended at 102 and 104, but both lines waited for worker 0, which ended at 110.
    runs = [
        evaluation(0, 0, 10.0, 110.0),
        evaluation(1, 1, 2.0, 110.001),
        evaluation(2, 1, 2.0, 110.002),
    ]
    spans = [(i.start, i.stop) for i in timing(runs).intervals if i.worker == 1]
    assert spans[0][1] <= spans[1][0] + 1e-9
    assert [stop - start for start, stop in spans] == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("kind", ["genetic", "halving"])
def test_each_evaluation_is_counted_in_one_phase_of_the_run(kind):
    folder = ROOT / "tests" / "data" / "runs_0_1_0" / kind
    lines = (folder / "evaluations.jsonl").read_text(encoding="utf-8").splitlines()
    rows = re.findall(r"<tr>.*?</tr>", str(phase_table(read_run(folder))))
    counts = [re.findall(r">([^<]*)</td></tr>", row) for row in rows]
    found = sum(int(number) for one in counts for number in one if number.isdigit())
    assert found == sum('"phase"' in line for line in lines) > 0


def test_distance_is_the_mean_over_all_pairs():
    generator = np.random.default_rng(5)
    genomes = generator.integers(0, 4, size=(9, 13))
    counts = np.stack([(genomes == donor).sum(axis=0) for donor in range(4)])
    pairs = itertools.combinations(genomes, 2)
    expected = np.mean([(one != other).mean() for one, other in pairs])
    assert mean_distance(counts, 9) == pytest.approx(expected)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = MadeUpRun().search().finals()
    return made, read_run(made.write(tmp_path_factory.mktemp("figures") / "run"))


def test_search_counts_genomes_reruns_and_failures(run):
    made, view = run
    records = [r for r in made.records if r["phase"] == "search"]
    genomes = [tuple(r["recipe"]["values"]) for r in records]
    found = search_view(view)
    assert found.genomes == len(set(genomes))
    assert found.reruns == len(genomes) - len(set(genomes))
    assert len(found.failures) == sum(r["error"] is not None for r in made.records)
    assert found.repeats == 0
    for generation in found.generations:
        assert sum(generation.shares) == pytest.approx(1.0)


def test_paying_twice_is_noticed(run):
    _, view = run
    doubled = dataclasses.replace(view, evaluations=(*view.evaluations, view.evaluations[7]))
    assert search_view(doubled).repeats == 1


def test_map_holds_all_parameters_of_the_network(run):
    made, view = run
    (found,) = donor_maps(view, search_view(view))
    # Published: 5,416,680 with 1,000 classes, of which the classifier is 1,280 x 1,000 + 1,000.
    assert sum(s.parameters for s in found.segments) == 5_416_680 - 1_281_000
    assert [s.name for s in found.segments] == [locus.name for locus in made.space.loci]
    assert [s.donor for s in found.segments] == list(made.best[0])
    assert sum(found.donor_shares.values()) == pytest.approx(1.0)


def test_map_of_filters_counts_each_filter(run):
    _, view = run
    filters = {"stage2_block2_expand_conv": np.array([3] * 36 + [5] * 108)}
    (found,) = donor_maps(view, search_view(view), filters)
    block = next(s for s in found.segments if s.name == "stage2_block2")
    # Lite1 stage 2 block 2: 144 expanded, 144 depthwise, 24 projected filters.
    assert len(block.filters) == 144 + 144 + 24
    other = 144 + 24
    assert block.shares[3] * len(block.filters) == pytest.approx(
        36 + (other if block.donor == 3 else 0)
    )


@pytest.mark.parametrize("form", ["lists per part", "segments and units"])
def test_stored_map_may_name_single_filters(run, form):
    made, view = run
    donors = [1] * 100 + [2] * 44
    flat = dict(view.result["donor_map"])
    if form == "lists per part":
        stored = {**flat, "stage2_block2": donors}
        expected = {1: 100 / 144, 2: 44 / 144}
    else:
        stored = {
            "segments": {**flat, "stage2_block2": 1},
            "units": {"stage2_block2_expanded": donors},
        }
        # 144 expanded and 144 depthwise filters follow the units, 24 projected ones the host.
        expected = {1: (100 + 100 + 24) / 312, 2: (44 + 44) / 312}
    changed = dataclasses.replace(view, result={**view.result, "donor_map": stored})
    found, *_ = donor_maps(changed, search_view(changed))
    assert [s.name for s in found.segments] == [locus.name for locus in made.space.loci]
    block = next(s for s in found.segments if s.name == "stage2_block2")
    assert block.shares == pytest.approx(expected)


@pytest.mark.parametrize("variant", ["b0", "v2-s", "lite-w0.25-d0.3"])
def test_map_draws_other_networks(tmp_path, variant):
    made = MadeUpRun(generations=1, population=4, names=("a", "b"), variant=variant)
    view = read_run(made.search().finals().write(tmp_path / "run"))
    found = donor_maps(view, search_view(view))
    space = GenomeSpace(arch_spec(variant), 2, "block")
    assert len(found[0].segments) == len(space.loci)


def test_spread_keeps_labels_apart_and_in_order():
    generator = np.random.default_rng(0)
    for _ in range(200):
        wanted = generator.uniform(0, 200, size=generator.integers(1, 9)).tolist()
        placed = spread(wanted, 12, 0, 200)
        order = np.argsort(wanted, kind="stable")
        gaps = np.diff(np.array(placed)[order])
        assert (gaps >= 12 - 1e-6).all()
        assert min(placed) >= -1e-6 and max(placed) <= 200 + 1e-6


def test_ticks_are_round_and_inside():
    for low, high in [(0, 1), (0.3811, 0.4417), (0, 12345), (-0.03, 0.4), (0.0501, 0.0507)]:
        ticks = nice_ticks(low, high, 5)
        assert 2 <= len(ticks) <= 8
        assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
        assert len({f"{tick:.6g}" for tick in ticks}) == len(ticks)


def test_shortened_texts_fit():
    assert shortened("abcdef", 6) == "abcdef"
    assert all(len(shortened("a" * 50, limit)) == limit for limit in range(2, 50))


def test_letters_are_distinct():
    assert len({letter(number) for number in range(255)}) == 255


def test_contrast_is_that_of_the_standard():
    # Published examples: #767676 is the lightest grey that passes AA on white.
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize(("colours", "donors"), [(LIGHT, DONORS_LIGHT), (DARK, DONORS_DARK)])
def test_colours_reach_aa(colours, donors):
    for ink in ("ink", "ink-2", "accent", "warn"):
        for ground in ("paper", "panel"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for ink in ("ink", "ink-2"):
        assert contrast(colours[ink], colours["wash"]) >= 4.5
    for mark in (colours["mark"], *donors):
        assert contrast(mark, colours["paper"]) >= 3, mark
    for donor in donors:
        assert contrast(ink_on(donor), donor) >= 4.5, donor


#: Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.mark.parametrize("donors", [DONORS_LIGHT, DONORS_DARK])
@pytest.mark.parametrize("kind", BLINDNESS)
def test_donor_colours_differ_for_colour_blind_eyes(donors, kind):
    channels = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in donors])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = oklab(np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1))
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    # About 0.02 is a just noticeable difference in this space.
    assert nearest > 0.06


def oklab(linear):
    """Björn Ottosson's Oklab, from linear sRGB."""
    cones = np.cbrt(
        linear
        @ np.array(
            [[0.4122214708, 0.5363325363, 0.0514459929],
             [0.2119034982, 0.6806995451, 0.1073969566],
             [0.0883024619, 0.2817188376, 0.6299787005]]
        ).T
    )  # fmt: skip
    return (
        cones
        @ np.array(
            [[0.2104542553, 0.7936177850, -0.0040720468],
             [1.9779984951, -2.4285922050, 0.4505937099],
             [0.0259040371, 0.7827717662, -0.8086757660]]
        ).T
    )  # fmt: skip


@pytest.mark.parametrize(
    ("licences", "name", "words"),
    [
        (["Apache-2.0", "Apache-2.0"], "Apache-2.0", "keep the notice"),
        (["MIT", "Apache-2.0"], "Apache-2.0 AND MIT", "All are permissive"),
        (["CC-BY-NC-4.0", "MIT"], "CC-BY-NC-4.0 AND MIT", "CC-BY-NC-4.0 forbids commercial use"),
        (["MIT", None], "MIT AND unknown", "1 of 2 donors is not known"),
        ([], "unknown", "No donor"),
    ],
)
def test_licence_of_the_result_forgets_nobody(licences, name, words):
    provenances = [{"licence": licence} if licence else {} for licence in licences]
    found = resulting_licence(provenances)
    assert found.name == name and words in found.words


def test_licence_of_a_network_nested_beside_the_first_counts():
    nested = {"licence": "MIT", "steps": [{"provenance_of_others": [{"licence": "CC-BY-NC-4.0"}]}]}
    assert "CC-BY-NC-4.0 forbids commercial use" in resulting_licence([nested]).words


def test_trained_networks_are_not_taken_for_the_donors_of_their_number():
    from types import SimpleNamespace

    from efn_compose.analysis.charts.chart_fitness import _series
    from efn_compose.analysis.reading.evaluation_view import EvaluationView

    def line(phase, generation, kind, values, arm=""):
        scores = {"validation": {"loss": 1.0}}
        rest = {"seconds": {}, "wall_seconds": 1.0, "worker": 0, "memory_mb": 0.0, "attempts": 1}
        return EvaluationView(
            0, phase, generation, arm, kind, values, 1, scores, None, finished=None, **rest
        )

    founder = line("population", 0, "genome", (1, 1))
    child = line("population", 1, "genome", (1, 1))
    average = line("soup", 0, "average", (0.0, 0.5, 0.5))
    finalist = line("final", 0, "average", (0.0, 0.5, 0.5), "finalist1")
    uniform = line("final", 0, "average", (0.5, 0.5), "uniform_average")
    genomes = SimpleNamespace(pure_donor=lambda values: int(values[0]))
    evaluations = [founder, child, average, finalist, uniform]
    series = _series(SimpleNamespace(evaluations=evaluations, genomes=genomes))
    assert series.donors == {1: [founder]}
    assert series.composed == [child, average]
    assert (series.finalists, series.averages) == ([finalist], [uniform])
