"""The pipeline: chapters, each an existing verb with its configuration, from one file.

| file | holds |
|---|---|
| `story.py` | a story file as chapters, with what each reads of others |
| `chapters.py` | the table of verbs: configuration, products, how a chapter runs |
| `small_chapters.py` | convert, nest and predict, whose verbs have no configuration of their own |
| `checks/` | everything that would stop a chapter later |
| `work.py` | what each chapter has to do, counted |
| `estimate.py` | how long that takes, measured |
| `worth.py` | what would stand in each chapter's place |
| `products.py` | what a chapter wrote, by hash |
| `outcome.py` | what it has come to: chapters that ended or failed, the submission so far |
| `early.py` | a submission before anything else has ended |
| `job.py` | runs the chapters; begin here |
"""
