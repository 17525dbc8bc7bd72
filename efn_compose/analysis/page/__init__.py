"""The report: sections of a page, the live report, its server, and the comparison of runs.

Begin at `report.py`.
"""
