"""Donors: weights in canonical form, made comparable with one another."""

from efn_compose.donors.donor import Donor, load_donor

__all__ = ["Donor", "load_donor"]
