"""Expert mode: a gene per unit, its operators, and a search over it."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from fake_executor import FakeExecutor
from search_runs import lines_without_timing, run_search

from efn_compose.arch import arch_spec, channel_groups
from efn_compose.compose import Recipe, genome_space
from efn_compose.compose.space import expanded_groups
from efn_compose.evolve.genetic.breeding import few_switches
from efn_compose.evolve.genetic.crossover.two_point import TwoPoint
from efn_compose.evolve.genetic.mutation.heavy_tailed import HeavyTailed, power_law
from efn_compose.evolve.kinds.lamarck import mix

SPEC = arch_spec("lite-w0.25-d0.3")
SPACE = genome_space(SPEC, 3, "filter")


def random_genome(seed):
    return tuple(np.random.default_rng(seed).integers(0, 3, len(SPACE.loci)).tolist())


def test_every_unit_of_b0_has_a_gene():
    """8,928 expanded units (published widths), 16 blocks, stem and top."""
    space = genome_space(arch_spec("b0"), 2, "filter")
    assert len(space.loci) == 8928 + 16 + 2
    assert sum(entry.get("count", 1) for entry in space.locus_table) == len(space.loci)
    assert [locus.name for locus in space.loci[:4]] == [
        "stem", "stage1_block1", "stage2_block1", "stage2_block1_unit1",
    ]  # fmt: skip


def test_a_genome_and_its_map_say_the_same():
    genome = random_genome(0)
    donor_map = SPACE.decode(genome)
    genes = {locus.name: gene for locus, gene in zip(SPACE.loci, genome, strict=True)}
    groups = channel_groups(SPEC)
    for name, host in donor_map.segments.items():
        assert genes[name] == host
    for block, group in expanded_groups(SPEC).items():
        expected = [genes[f"{block}_unit{n + 1}"] for n in range(groups[group].size)]
        assert donor_map.units[group].tolist() == expected


def test_long_genomes_are_stored_by_their_runs():
    space = genome_space(arch_spec("b0"), 2, "filter")
    generator = random.Random(0)
    genome = space.pure(0)
    for _ in range(20):
        genome = HeavyTailed().mutate(genome, space, generator)
    stored = Recipe.genome(genome).to_json()
    assert "values" not in stored
    assert tuple(Recipe.stored_values(stored)) == genome
    for kind in ("stage", "unit"):
        short = Recipe.genome(genome_space(SPEC, 2, kind).pure(1)).to_json()
        assert set(short["values"]) <= {0, 1}
    for runs in ([[0, -1]], [[0, 10**9]], [[1, True]]):
        with pytest.raises(ValueError, match="runs of genes"):
            Recipe.stored_values({"kind": "genome", "runs": runs})


def test_strengths_follow_the_power_law():
    """P(n) = n^-1.5 / sum: Doerr et al. 2017, section 4; counted over 40,000 draws."""
    generator = random.Random(0)
    counts = Counter(power_law(50, generator) for _ in range(40_000))
    whole = sum(n**-1.5 for n in range(1, 51))
    for number in (1, 2, 5, 10, 50):
        expected = number**-1.5 / whole
        spread = (expected * (1 - expected) / 40_000) ** 0.5
        assert counts[number] / 40_000 == pytest.approx(expected, abs=4 * spread)
    assert power_law(1, generator) == 1


def test_mutation_changes_few_genes_mostly_and_many_sometimes():
    generator = random.Random(1)
    genome = random_genome(1)
    changed = []
    for _ in range(600):
        child = SPACE.check(HeavyTailed().mutate(genome, SPACE, generator))
        changed.append(sum(a != b for a, b in zip(genome, child, strict=True)))
    assert np.median(changed) < len(genome) / 20
    assert max(changed) > len(genome) / 5


def test_a_block_mutation_copies_one_run_of_one_donor():
    generator = random.Random(2)
    runs = 0
    for _ in range(400):
        child = HeavyTailed(0.0).mutate(SPACE.pure(0), SPACE, generator)
        places = [n for n, gene in enumerate(child) if gene]
        block = {SPACE.loci[n].segments for n in places}
        is_run = len(places) > 2 and places == list(range(places[0], places[-1] + 1))
        if is_run and len(block) == 1 and SPACE.loci[places[0]].name.count("unit"):
            runs += len({child[n] for n in places}) == 1
    assert runs > 10


def test_crossover_cuts_at_stage_borders_and_keeps_loci():
    generator = random.Random(3)
    clean = 0
    for _ in range(60):
        child, other = TwoPoint().cross(SPACE.pure(0), SPACE.pure(1), SPACE, generator)
        assert all({a, b} == {0, 1} for a, b in zip(child, other, strict=True))
        cuts = {n for n in range(1, len(child)) if child[n] != child[n - 1]}
        clean += cuts <= set(SPACE.stage_borders)
    assert clean > 30
    walk = few_switches(SPACE, generator)
    assert SPACE.check(walk) == walk
    both = mix(0, 2, SPACE, generator)
    assert set(both) == {0, 2} and sum(a != b for a, b in itertools.pairwise(both)) > 50


@pytest.mark.parametrize("granularity", ["filter", "unit"])
def test_block_mutations_reach_what_single_genes_cannot(granularity):
    """From a pure donor of one lineage, every way of mixing a block is one mutation away."""
    space = genome_space(SPEC, 2, granularity, lineages=(0, 0))
    generator = random.Random(4)
    kinds = Counter()
    for _ in range(500):
        donor_map = space.decode(
            space.canonical(HeavyTailed().mutate(space.pure(0), space, generator))
        )
        kinds["units"] += bool(donor_map.units)
        kinds["blend"] += bool(donor_map.blends)
    assert kinds["units"] > 25
    assert (kinds["blend"] > 5) == (granularity == "unit")


def test_a_search_over_filters_runs_resumes_and_writes_short_lines(tmp_path):

    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    result, _ = run_search(whole, FakeExecutor(), granularity="filter")
    assert result.space.granularity == "filter"
    content = (whole / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    (resumed / "evaluations.jsonl").write_bytes(b"".join(content[:12]))
    run_search(resumed, FakeExecutor(), granularity="filter")
    assert lines_without_timing(whole) == lines_without_timing(resumed)
    genomes = {
        tuple(Recipe.stored_values(record["recipe"]))
        for record in lines_without_timing(whole)
        if record["recipe"]["kind"] == "genome"
    }
    assert all(len(genome) == len(result.space.loci) for genome in genomes)
    assert sum(len(set(genome)) > 1 for genome in genomes) > 5
