"""One file per chart: values in, SVG out.

Begin at `chart_scores.py`; `figures.py` puts a chart and its table into one figure.
"""
