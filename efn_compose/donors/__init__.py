"""Donors: weights in canonical form, made comparable with one another."""

from efn_compose.donors.donor import Donor, load_donor
from efn_compose.donors.harmonise import harmonise, require_harmonised

__all__ = ["Donor", "harmonise", "load_donor", "require_harmonised"]
