"""Mutations: one genome to another that differs from it. One file each; see `base.py`."""
