"""The model card: what the weights are, what they are worth, how to load them.

Begin at `card.py`.
"""
