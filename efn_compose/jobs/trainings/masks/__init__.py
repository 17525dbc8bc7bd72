"""The masks of a run of trainings: `scores.py` reads, stratifies and assesses them, `page.py` draws them."""
