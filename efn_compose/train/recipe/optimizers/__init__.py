"""Optimizers: Keras' own, Adam with its step size made once per update, and Padam.

Begin at `table.py`.
"""
