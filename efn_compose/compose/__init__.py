"""Composition: genomes, donor maps, recipes, and the weights they make."""

from efn_compose.compose.compose import compose
from efn_compose.compose.recipe import Recipe
from efn_compose.compose.space import DonorMap, Genome, GenomeSpace, Locus, segments

__all__ = [
    "DonorMap",
    "Genome",
    "GenomeSpace",
    "Locus",
    "Recipe",
    "compose",
    "segments",
]
