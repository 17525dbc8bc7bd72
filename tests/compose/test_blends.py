"""Blocks that are averages: exact arithmetic, and only within a lineage."""

import itertools

import numpy as np
import pytest
from random_donors import random_donor

from efn_compose.arch import inventory
from efn_compose.compose import Blend, DonorMap, Recipe, compose, genome_space
from efn_compose.compose.space import segment_of, segments
from efn_compose.compose.unit_space import BLEND, BY_CONTRIBUTION
from efn_compose.donors.lineage import lineage_numbers
from efn_compose.errors import InvalidGenomeError

DONORS = [random_donor(seed=seed, classes=None) for seed in range(3)]
SPEC = DONORS[0].spec
TENSORS = [donor.tensors for donor in DONORS]
BLOCK = "stage3_block1"


def space_of(lineages):
    return genome_space(SPEC, 3, "unit", lineages=lineages)


def genome_with(space, start=0, **genes):
    names = [locus.name for locus in space.loci]
    changed = list(space.pure(start))
    for name, gene in genes.items():
        changed[names.index(name)] = gene
    return tuple(changed)


BLENDED = {f"{BLOCK}_second": 1, f"{BLOCK}_fraction": 2, f"{BLOCK}_rule": BLEND}


def test_a_blended_block_is_the_weighted_mean_and_nothing_else_changes():
    donor_map = space_of((0, 0, 0)).decode(genome_with(space_of((0, 0, 0)), **BLENDED))
    assert donor_map.blends == {BLOCK: Blend(1, 0.25)} and not donor_map.units
    assert donor_map.donors == (0, 1) and not donor_map.is_pure
    composed = compose(SPEC, TENSORS, donor_map)
    for tensor in inventory(SPEC):
        name, (one, other, _) = tensor.name, [t[tensor.name] for t in TENSORS]
        if segment_of(tensor) != BLOCK:
            assert composed[name] is one
            continue
        expected = 0.75 * one.astype(np.float64) + 0.25 * other
        if tensor.role == "moving_variance":
            # The variance of three samples of one distribution and one of the other together.
            means = [t[f"{tensor.layer}/moving_mean"].astype(np.float64) for t in TENSORS[:2]]
            expected += 0.75 * 0.25 * (means[0] - means[1]) ** 2
        np.testing.assert_allclose(composed[name], expected, rtol=2e-6, atol=1e-7)


def test_a_map_of_filters_names_the_host_of_an_average():
    donor_map = DonorMap(dict.fromkeys(segments(SPEC), 2), blends={BLOCK: Blend(0, 0.5)})
    filters = donor_map.per_filter(SPEC)
    assert set(np.concatenate(list(filters.values())).tolist()) == {2}


def test_no_genome_averages_across_lineages():
    """All values of a block's genes, for donors 0 and 2 of one lineage and 1 of another."""
    space = space_of((0, 1, 0))
    blends = 0
    for host, second, fraction in itertools.product(range(3), range(3), range(4)):
        genes = {f"{BLOCK}_second": second, f"{BLOCK}_fraction": fraction, f"{BLOCK}_rule": BLEND}
        genome = genome_with(space, host, **genes)
        donor_map = space.decode(genome)
        for name, blend in donor_map.blends.items():
            assert {donor_map.segments[name], blend.donor} == {0, 2}
            blends += 1
        canonical = space.canonical(genome)
        assert space.canonical(canonical) == canonical
        again = space.decode(canonical)
        assert again.blends == donor_map.blends
        assert {n: u.tolist() for n, u in again.units.items()} == {
            n: u.tolist() for n, u in donor_map.units.items()
        }
        if fraction and second != host:
            # What may not be averaged is a choice of units by contribution instead.
            rule = BLEND if {host, second} == {0, 2} else BY_CONTRIBUTION
            assert canonical == genome_with(space, host, **{**genes, f"{BLOCK}_rule": rule})
            assert bool(donor_map.units) == (rule == BY_CONTRIBUTION)
    assert blends == 6


def test_blends_are_no_gene_value_where_no_lineage_is_shared():
    for lineages in ((), (0, 1, 2)):
        space = space_of(lineages)
        with pytest.raises(InvalidGenomeError, match=f"{BLOCK}_rule=3"):
            space.check(genome_with(space, **BLENDED))
    with pytest.raises(InvalidGenomeError, match="3 lineages expected, got 2"):
        space_of((0, 1))


def test_pure_genomes_compose_every_donor_bit_for_bit():
    for granularity in ("stage", "block", "unit", "filter"):
        space = genome_space(SPEC, 3, granularity, lineages=(0, 0, 0))
        for number, donor in enumerate(TENSORS):
            composed = compose(SPEC, TENSORS, space.decode(space.pure(number)))
            assert all(np.array_equal(composed[name], values) for name, values in donor.items())


def test_a_block_is_averaged_or_mixed_but_not_both():
    space = genome_space(SPEC, 2, "unit")
    units = space.decode(genome_with(space, **{f"{BLOCK}_second": 1, f"{BLOCK}_fraction": 3})).units
    wrong = DonorMap(dict.fromkeys(segments(SPEC), 0), units, {BLOCK: Blend(1, 0.5)})
    with pytest.raises(InvalidGenomeError, match=BLOCK):
        compose(SPEC, TENSORS[:2], wrong)


def test_lineages_are_numbered_in_the_order_of_donors():
    noisy = {n: (v * 1.01).astype(np.float32) for n, v in TENSORS[1].items()}
    donors = [DONORS[0], DONORS[1], DONORS[2], DONORS[1].replace(name="child", tensors=noisy)]
    assert lineage_numbers(donors) == (0, 1, 2, 1)


def test_an_average_by_segment_equals_each_segments_own_average():
    space = genome_space(SPEC, 3, "stage")
    names = segments(SPEC)
    weights = np.random.default_rng(0).dirichlet(np.ones(3), len(names))
    composed = Recipe.by_segment(weights).compose(space, TENSORS)
    for tensor in inventory(SPEC):
        if tensor.role == "moving_variance":
            continue
        share = weights[names.index(segment_of(tensor))]
        expected = sum(
            w * t[tensor.name].astype(np.float64) for w, t in zip(share, TENSORS, strict=True)
        )
        np.testing.assert_allclose(composed[tensor.name], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InvalidGenomeError, match="needs 3 weights"):
        Recipe("average", (0.5, 0.5)).compose(space, TENSORS)
