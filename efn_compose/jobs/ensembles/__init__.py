"""Many trainings to one submission, with a plan B that stands until something better is proved.

Begin at `job.py`. `columns.py` reads the trainings, `asked.py` asks their networks about the test images,
`written.py` writes submissions, `report/` the page.
"""
