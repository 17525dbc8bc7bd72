"""Markup, colours, style and SVG that charts and pages are made of.

Begin at `markup.py`; nothing here knows runs.
"""
