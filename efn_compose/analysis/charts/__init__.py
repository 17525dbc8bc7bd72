"""One file per chart: values in, SVG out.

Begin at `chart_scores.py`.
"""
