"""How Keras models name and order their layers, and what their configuration reveals.

Begin at `keras_names.py` (layers by name) or `keras_order.py` (layers by their order).
"""
