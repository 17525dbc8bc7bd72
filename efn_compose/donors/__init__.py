"""Donors: weights in canonical form, made comparable with one another."""

from efn_compose.donors.alignment.align import Alignment, align
from efn_compose.donors.donor import Donor, load_donor
from efn_compose.donors.harmonise import harmonise, require_harmonised
from efn_compose.donors.lineage import lineage_cosine, lineages

__all__ = [
    "Alignment",
    "Donor",
    "align",
    "harmonise",
    "lineage_cosine",
    "lineages",
    "load_donor",
    "require_harmonised",
]
