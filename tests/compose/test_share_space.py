"""Genomes of shares: exact at the donors, linear between and beyond them, one lineage only."""

import random
from fractions import Fraction

import numpy as np
import pytest
from fine_tunings import BASE, DONORS

from efn_compose.arch import inventory
from efn_compose.compose import Mix, Recipe, ShareGenomeSpace, compose, genome_space
from efn_compose.compose.share_space import LAST, NOTHING, WHOLE
from efn_compose.compose.space import segment_of, segments
from efn_compose.errors import InvalidGenomeError

SPEC = BASE.spec
#: The ancestor is donor 1.
TENSORS = [donor.tensors for donor in (DONORS[0], BASE, DONORS[1], DONORS[2])]
SPACE = ShareGenomeSpace(SPEC, 4, "block_share", (0, 0, 0, 0), ancestor=1)
TRAINABLE = [tensor for tensor in inventory(SPEC) if tensor.role != "moving_variance"]


def composed(genome, space=SPACE, tensors=TENSORS):
    return compose(space.spec, tensors, space.decode(genome))


@pytest.mark.parametrize("granularity", ["stage_share", "block_share"])
@pytest.mark.parametrize("donor", range(4))
def test_a_donor_alone_comes_out_byte_for_byte(granularity, donor):
    space = ShareGenomeSpace(SPEC, 4, granularity, ancestor=1)
    assert space.decode(space.pure(donor)).is_pure
    found = composed(space.pure(donor), space)
    assert all(found[tensor.name] is TENSORS[donor][tensor.name] for tensor in inventory(SPEC))


def test_random_shares_are_the_exact_sum_rounded_once():
    genome = tuple(random.Random(1).randrange(LAST + 1) for _ in SPACE.loci)
    shares = dict(zip([locus.name for locus in SPACE.loci], SPACE.shares(genome), strict=True))
    found = composed(genome)
    for tensor in TRAINABLE[:: len(TRAINABLE) // 12]:
        place = tuple(size // 2 for size in tensor.shape)
        base = Fraction(float(TENSORS[1][tensor.name][place]))
        exact = base + sum(
            Fraction(float(shares[f"{segment_of(tensor)}_share{number}"]))
            * (Fraction(float(TENSORS[number][tensor.name][place])) - base)
            for number in (0, 2, 3)
        )
        assert abs(float(found[tensor.name][place]) - float(exact)) <= abs(float(exact)) * 2**-24


def test_float64_donors_are_combined_linearly():
    wide = [{name: values.astype(np.float64) for name, values in t.items()} for t in TENSORS]
    draw = random.Random(2)
    one, other = ([draw.randrange(8, 57) for _ in SPACE.loci] for _ in range(2))
    middle = tuple((a + b) // 2 for a, b in zip(one, other, strict=True))
    one = tuple(2 * m - b for m, b in zip(middle, other, strict=True))
    ends = [composed(genome, tensors=wide) for genome in (one, tuple(other))]
    found = composed(middle, tensors=wide)
    for tensor in TRAINABLE:
        mean = (ends[0][tensor.name] + ends[1][tensor.name]) / 2
        np.testing.assert_allclose(found[tensor.name], mean, rtol=1e-12, atol=1e-13)


def test_variances_are_those_of_the_mixture():
    genome = [NOTHING] * len(SPACE.loci)
    genome[1] = NOTHING + 8  # a quarter of donor 2 in the stem
    name = "stem_bn/moving_variance"
    means = [t["stem_bn/moving_mean"].astype(np.float64) for t in (TENSORS[1], TENSORS[2])]
    expected = 0.75 * TENSORS[1][name] + 0.25 * TENSORS[2][name]
    expected += 0.75 * 0.25 * (means[0] - means[1]) ** 2
    np.testing.assert_allclose(composed(tuple(genome))[name], expected, rtol=1e-6)


def test_variances_stay_positive_where_shares_extrapolate():
    genome = tuple(random.Random(3).choice((0, LAST)) for _ in SPACE.loci)
    found = composed(genome)
    variances = [t for t in inventory(SPEC) if t.role == "moving_variance"]
    assert variances and all((found[tensor.name] > 0).all() for tensor in variances)


def test_the_order_of_donors_does_not_matter():
    order = [3, 1, 0, 2]  # number of each donor before
    other = ShareGenomeSpace(SPEC, 4, "block_share", ancestor=1)
    draw = random.Random(4)
    genes = {
        (part, donor): draw.randrange(LAST + 1) for part in segments(SPEC) for donor in (0, 2, 3)
    }
    genome = tuple(genes[part, donor] for part in segments(SPEC) for donor in SPACE.relatives)
    same = tuple(genes[part, order[n]] for part in segments(SPEC) for n in other.relatives)
    one, two = composed(genome), composed(same, other, [TENSORS[number] for number in order])
    for tensor in TRAINABLE:
        np.testing.assert_allclose(two[tensor.name], one[tensor.name], rtol=2e-7, atol=1e-9)


def test_parts_are_named_and_grouped():
    space = genome_space(SPEC, 3, "stage_share", lineages=(0, 0, 0), ancestor=2)
    assert isinstance(space, ShareGenomeSpace) and space.relatives == (0, 1)
    assert [locus.name for locus in space.loci[:4]] == [
        "stem_share0", "stem_share1", "stage1_share0", "stage1_share1",
    ]  # fmt: skip
    covered = {name for start, _ in space.clusters for name in space.loci[start].segments}
    assert covered == set(segments(SPEC))


def test_the_map_names_shares_and_the_heaviest_donor():
    genome = list(SPACE.pure(1))
    genome[0], genome[2] = NOTHING + 40, NOTHING - 8
    found = SPACE.decode(genome)
    assert found.mixes == {"stem": Mix(1, {0: 1.25, 3: -0.25})}
    assert found.segments["stem"] == 0 and found.donors == (0, 1, 3)
    assert Recipe.genome(tuple(genome)).is_mixed(SPACE)


def test_draws_are_between_the_donors_on_average_and_reproducible():
    draws = [SPACE.draw(random.Random(seed)) for seed in range(200)]
    assert draws == [SPACE.draw(random.Random(seed)) for seed in range(200)]
    # A uniform point of a simplex of four corners has the mean 1/4 in each.
    assert np.mean([SPACE.shares(genome) for genome in draws]) == pytest.approx(0.25, abs=0.02)


def test_the_grid_holds_nothing_and_the_whole():
    assert SPACE.nearest(SPACE.shares(range(LAST + 1))) == tuple(range(LAST + 1))
    assert SPACE.shares((NOTHING, WHOLE)).tolist() == [0.0, 1.0]


def test_strangers_and_missing_ancestors_are_refused():
    with pytest.raises(InvalidGenomeError, match=r"ancestor 4 is none of 4.*one lineage.*0, 1"):
        ShareGenomeSpace(SPEC, 4, "block_share", (0, 1, 0, 0), ancestor=4)


def test_another_ancestor_is_another_seat():
    other = ShareGenomeSpace(SPEC, 4, "block_share", (0, 0, 0, 0), ancestor=2)
    assert other.fingerprint != SPACE.fingerprint
