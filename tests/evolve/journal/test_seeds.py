"""Seeds derived from one: none collide."""

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.journal.seeds import PURPOSES, derive_seed

SPACE = GenomeSpace(arch_spec("lite0"), 3, "block")


def test_seeds_do_not_collide():
    seeds = [derive_seed(1, purpose, n) for purpose in PURPOSES for n in range(200)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
