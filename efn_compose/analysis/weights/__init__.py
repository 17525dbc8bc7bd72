"""Weight files drawn and compared.

Begin at `weight_comparison.py`.
"""
