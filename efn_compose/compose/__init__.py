"""Composition: genomes, donor maps, recipes, and the weights they make. Also the verb `compose`."""

from efn_compose.callable_package import make_callable
from efn_compose.compose.compose import compose
from efn_compose.compose.recipe import Recipe
from efn_compose.compose.share_space import ShareGenomeSpace
from efn_compose.compose.space import Blend, DonorMap, Genome, GenomeSpace, Locus, Mix, segments
from efn_compose.compose.spaces import genome_space

__all__ = [
    "Blend",
    "DonorMap",
    "Genome",
    "GenomeSpace",
    "Locus",
    "Mix",
    "Recipe",
    "ShareGenomeSpace",
    "compose",
    "genome_space",
    "segments",
]

make_callable(__name__, "efn_compose.compose.compose:compose")
