"""Markup, colours, style, tables and SVG that charts and pages are made of.

Begin at `markup.py` and `report_parts.py`; nothing here knows runs.
"""
