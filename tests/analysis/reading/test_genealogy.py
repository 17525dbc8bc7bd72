"""Lines of descent: parents that explain a child, against brute force and known crossovers."""

import itertools

import numpy as np
import pytest
from page_checks import Page
from report_runs import MadeUpRun

from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.composition.genealogy import ancestry, parents
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.compose import Recipe
from efn_compose.evolve.genetic.crossover.two_point import TwoPoint
from efn_compose.evolve.genetic.crossover.uniform_stages import UniformStages


def fewest_new_genes(child, pool):
    """Try every pair of parents and every stretch."""
    best = min(int((genome != child).sum()) for genome in pool)
    single = best
    for one, other in itertools.permutations(pool, 2):
        for start, stop in itertools.combinations(range(len(child) + 1), 2):
            mixed = one.copy()
            mixed[start:stop] = other[start:stop]
            best = min(best, int((mixed != child).sum()))
    # A second parent is believed only where it saves two genes or more.
    return best if best <= single - 2 else single


@pytest.mark.parametrize("seed", range(12))
def test_parents_leave_as_few_new_genes_as_brute_force(seed):
    generator = np.random.default_rng(seed)
    pool = generator.integers(0, 3, size=(7, 9))
    child = generator.integers(0, 3, size=9)
    found = parents(child, pool, TwoPoint())
    explained = pool[found.first].copy()
    if found.second is not None:
        explained[list(found.given)] = pool[found.second][list(found.given)]
    assert found.given == tuple(
        range(min(found.given, default=0), max(found.given, default=-1) + 1)
    )
    assert tuple(np.flatnonzero(explained != child)) == found.new
    assert len(found.new) == fewest_new_genes(child, pool)


@pytest.mark.parametrize("seed", range(12))
def test_whole_stages_of_either_parent_leave_as_few_new_genes_as_brute_force(seed):
    generator = np.random.default_rng(seed)
    pool = generator.integers(0, 3, size=(7, 9))
    child, borders = generator.integers(0, 3, size=9), (1, 4, 5)
    found = parents(child, pool, UniformStages(), borders)
    explained = pool[found.first].copy()
    if found.second is not None:
        explained[list(found.given)] = pool[found.second][list(found.given)]
    assert tuple(np.flatnonzero(explained != child)) == found.new
    assert len(found.new) == fewest_new_genes_of_whole_stages(child, pool, borders)


def fewest_new_genes_of_whole_stages(child, pool, borders):
    """Try every pair of parents and every choice of one of them for each stage."""
    stages = list(itertools.pairwise([0, *borders, len(child)]))
    single = min(int((genome != child).sum()) for genome in pool)
    best = single
    for pair in itertools.permutations(pool, 2):
        for choice in itertools.product((0, 1), repeat=len(stages)):
            mixed = np.concatenate([pair[c][a:b] for c, (a, b) in zip(choice, stages, strict=True)])
            best = min(best, int((mixed != child).sum()))
    return best if best <= single - 2 else single


def test_known_crossover_is_found_among_thousands():
    generator = np.random.default_rng(1)
    pool = generator.integers(0, 6, size=(4000, 24))
    child = pool[1234].copy()
    child[5:14] = pool[777][5:14]
    child[20] = (child[20] + 1) % 6
    found = parents(child, pool, TwoPoint())
    assert {found.first, found.second} == {1234, 777}
    assert found.new == (20,)


def test_line_ends_with_a_founder_and_says_what_each_step_brought(tmp_path):
    made = MadeUpRun(generations=0, population=6, names=("a", "b", "c"))
    made.search(failing_rate=0)
    length = len(made.space.loci)
    child = (0,) * 9 + (1,) * (length - 9)
    grandchild = (*child[:3], 2, *child[4:])
    made.records = [r for r in made.records if len(set(r["recipe"]["values"])) == 1]
    for number, record in enumerate(made.records):
        record["index"] = number
    made.evaluate("search", Recipe.genome(child), 1, 1)
    made.evaluate("search", Recipe.genome(grandchild), 2, 2)
    run = read_run(made.write(tmp_path / "run", finished=False))
    line = ancestry(run, grandchild)
    assert [one.genome for one in line[:2]] == [grandchild, child]
    assert line[0].new == (3,) and line[0].second is None
    assert line[1].new == () and {line[1].second, line[2].genome} == {
        made.space.pure(0),
        made.space.pure(1),
    }
    assert line[1].from_second == tuple(range(9))
    assert line[-1].is_pure and line[-1].generation == 0
    assert "How it came about" in Page(render_report(run)).check().text


def test_a_search_that_crosses_nobody_has_no_lines_of_descent(tmp_path):
    made = MadeUpRun(generations=2, population=6, names=("a", "b"))
    folder = made.search().write(tmp_path / "run", finished=False)
    genome = made.records[-1]["recipe"]["values"]
    assert ancestry(read_run(folder), genome)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("genetic", "random"))
    assert ancestry(read_run(folder), genome) == []


def test_genome_that_was_never_evaluated_has_no_line(tmp_path):
    made = MadeUpRun(generations=0, population=4, names=("a", "b"))
    run = read_run(made.search().write(tmp_path / "run", finished=False))
    assert ancestry(run, (9,) * len(made.space.loci)) == []
    assert ancestry(run, ()) == []
