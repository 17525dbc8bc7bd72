"""Operators of shares: they stay in the space, keep what parents agree on, and blend by stage."""

import random

import numpy as np
import pytest

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace, ShareGenomeSpace
from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.evolve.genetic.crossover.base import ranges
from efn_compose.evolve.genetic.crossover.share_blend import ShareBlend
from efn_compose.evolve.genetic.mutation.share_step import ShareStep
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.steady import Steady

SPEC = arch_spec("lite0")
SPACE = ShareGenomeSpace(SPEC, 4, "block_share", ancestor=2)
BLOCKS = GenomeSpace(SPEC, 4)


def _pairs(count):
    draw = random.Random(0)
    return [(SPACE.draw(draw), SPACE.draw(draw), draw) for _ in range(count)]


def test_children_of_a_blend_lie_on_the_line_through_their_parents_stage_by_stage():
    factors = []
    for first, second, draw in _pairs(100):
        child, other = ShareBlend().cross(first, second, SPACE, draw)
        one, two, made = (SPACE.shares(genome) for genome in (first, second, child))
        for start, stop in ranges(SPACE.stage_borders, len(first)):
            step = two[start:stop] - one[start:stop]
            factor = float((made[start:stop] - one[start:stop]) @ step / (step @ step))
            inner = np.abs(made[start:stop] - 0.5) < 0.99  # not at the end of the range
            off = made[start:stop] - one[start:stop] - factor * step
            assert np.abs(off[inner]).max(initial=0) < 2 / 32 + 0.05
            factors.append(factor)
        inside = [abs(a - 32) < 32 and abs(b - 32) < 32 for a, b in zip(child, other, strict=True)]
        sums = np.array(first) + second - np.array(child) - other
        assert np.abs(sums[inside]).max() <= 1  # rounding: what one child gains the other loses
    # Uniform between a quarter before the first and a quarter behind the second.
    assert np.mean(factors) == pytest.approx(0.5, abs=0.05)
    assert np.std(factors) == pytest.approx(1.5 / 12**0.5, abs=0.05)


def test_what_parents_agree_on_is_kept():
    for first, _, draw in _pairs(5):
        assert ShareBlend().cross(first, first, SPACE, draw) == (first, first)


def test_steps_change_a_relative_a_part_or_few_genes_and_stay_in_the_space():
    seen = {"relative": 0, "whole": 0, "few": 0}
    count = len(SPACE.relatives)
    for genome, _, draw in _pairs(400):
        child = ShareStep().mutate(genome, SPACE, draw)
        assert SPACE.check(child) == child != genome
        changed = np.flatnonzero(np.array(child) != genome)
        pure = {SPACE.pure(donor)[:count] for donor in range(4)}
        part = child[changed[0] // count * count :][:count]
        if len(set(changed % count)) == 1 and len(changed) > 10:
            seen["relative"] += 1
        elif part in pure and changed.max() // count == changed.min() // count:
            seen["whole"] += 1
        else:
            seen["few"] += 1
    assert 60 < seen["relative"] < 140 and 60 < seen["whole"] < 140


@pytest.mark.parametrize("kind", [Genetic, Steady])
def test_the_operators_suit_the_genes_unless_named(kind):
    shares, blocks = kind().breeder(SPACE), kind().breeder(BLOCKS)
    assert (type(shares.crossover), type(shares.mutation)) == (ShareBlend, ShareStep)
    assert not blocks.crossover.needs_shares and not blocks.mutation.needs_shares
    named = kind(crossover="two_point", mutation="fixed_rate").breeder(SPACE)
    assert (type(named.crossover).__name__, type(named.mutation).__name__) == (
        "TwoPoint",
        "FixedRate",
    )


@pytest.mark.parametrize("operator", ["crossover=share_blend", "mutation=share_step"])
def test_blocks_have_no_shares_to_move(operator):
    key, _, name = operator.partition("=")
    kind = load_config(None, [f"genetic.{operator}"]).kind
    assert kind.share_setting == f"genetic.{key} = {name!r}"
    parents = BLOCKS.pure(0), BLOCKS.pure(1)
    with pytest.raises(ConfigError, match=f"{name} moves shares"):
        if key == "crossover":
            ShareBlend().cross(*parents, BLOCKS, random.Random(0))
        else:
            ShareStep().mutate(parents[0], BLOCKS, random.Random(0))
