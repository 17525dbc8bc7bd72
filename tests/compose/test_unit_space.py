"""The compact unit genome decodes to the donor map its genes describe."""

import itertools

import numpy as np
import pytest

from efn_compose.arch import arch_spec, channel_groups
from efn_compose.compose.space import expanded_groups
from efn_compose.compose.unit_space import FRACTIONS, UnitGenomeSpace
from efn_compose.errors import InvalidGenomeError


def space_of(variant="lite-w0.25-d0.9", donors=3):
    spec = arch_spec(variant)
    groups = channel_groups(spec)
    saliency = tuple(
        {
            name: np.random.default_rng((seed, number)).random(groups[name].size)
            for number, name in enumerate(expanded_groups(spec).values())
        }
        for seed in range(donors)
    )
    return UnitGenomeSpace(spec, donors, saliency=saliency)


def with_genes(space, genome, **genes):
    names = [locus.name for locus in space.loci]
    changed = list(genome)
    for name, gene in genes.items():
        changed[names.index(name)] = gene
    return tuple(changed)


def random_genome(space, rng):
    return tuple(int(rng.integers(count)) for count in space.cardinalities)


def same(one, other):
    return one.segments == other.segments and {
        name: values.tolist() for name, values in one.units.items()
    } == {name: values.tolist() for name, values in other.units.items()}


@pytest.mark.parametrize(("variant", "length"), [("lite0", 68), ("b0", 68), ("v2-b0", 88)])
def test_the_genome_is_short(variant, length):
    """Counted by hand: stem, top, stages, 4 per block, 3 in a stage of one, 0 without expansion."""
    assert len(space_of(variant, donors=2).loci) == length


def test_pure_genomes_decode_to_one_donor():
    space = space_of()
    for donor in range(3):
        donor_map = space.decode(space.pure(donor))
        assert donor_map.is_pure and donor_map.donors == (donor,) and not donor_map.units


def test_genes_mean_what_they_say():
    space = space_of()
    genome = with_genes(
        space, space.pure(0), stage3_host=1, stage3_block2_donor=3, stage3_block2_second=0,
        stage3_block2_fraction=2, stage3_block2_rule=0, top=2,
    )  # fmt: skip
    donor_map = space.decode(genome)
    assert donor_map.segments["stage3_block1"] == 1
    assert donor_map.segments["stage3_block2"] == 2
    assert donor_map.segments["top"] == 2 and donor_map.segments["stem"] == 0
    group = "stage3_block2_expanded"
    assert list(donor_map.units) == [group]
    units = donor_map.units[group]
    taken = round(FRACTIONS[2] * len(units))
    advantage = space.saliency[0][group] - space.saliency[2][group]
    assert set(np.flatnonzero(units == 0)) == set(np.argsort(-advantage)[:taken])
    assert set(units.tolist()) == {0, 2}
    random = space.decode(with_genes(space, genome, stage3_block2_rule=1)).units[group]
    assert np.count_nonzero(random == 0) == taken and random.tolist() != units.tolist()


def test_canonical_genomes_decode_alike_and_are_fixed_points():
    space = space_of()
    rng = np.random.default_rng(0)
    shorter = 0
    for _ in range(50):
        genome = random_genome(space, rng)
        canonical = space.canonical(genome)
        assert same(space.decode(genome), space.decode(canonical))
        assert space.canonical(canonical) == canonical
        shorter += canonical != genome
    assert shorter > 10
    all_donor_two = with_genes(space, space.pure(2), stage3_block1_donor=3)
    assert space.canonical(all_donor_two) == space.pure(2)


def test_a_stage_of_a_pure_genome_makes_that_stage_pure():
    space = space_of()
    genome = random_genome(space, np.random.default_rng(1))
    borders = (0, *space.stage_borders, len(genome))
    assert len(borders) == space.spec.stage_count + 3
    for start, stop in itertools.pairwise(borders):
        changed = genome[:start] + space.pure(1)[start:stop] + genome[stop:]
        donor_map = space.decode(changed)
        segments = {name for locus in space.loci[start:stop] for name in locus.segments}
        assert {donor_map.segments[name] for name in segments} == {1}
        assert not any(name.removesuffix("_expanded") in segments for name in donor_map.units)


def test_wrong_genomes_and_saliencies_are_refused():
    space = space_of()
    with pytest.raises(InvalidGenomeError, match="Received 3"):
        space.check((0, 0, 0))
    with pytest.raises(InvalidGenomeError, match=r"stage3_block2_fraction=9 \(0 to 3\)"):
        space.check(with_genes(space, space.pure(0), stage3_block2_fraction=9))
    with pytest.raises(InvalidGenomeError, match="2 saliencies expected, got 1"):
        UnitGenomeSpace(space.spec, 2, saliency=space.saliency[:1])
    with pytest.raises(InvalidGenomeError, match="stage2_block1_expanded: expected"):
        UnitGenomeSpace(space.spec, 1, saliency=({},))
