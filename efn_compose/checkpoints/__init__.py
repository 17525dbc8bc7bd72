"""Readers of foreign checkpoint containers, to numpy arrays, without running their code."""
