"""The pipeline: stages, each an existing verb with its configuration, from one file.

| file | holds |
|---|---|
| `story.py` | a story file as stages, with what each reads of others |
| `stages.py` | the table of verbs: configuration, products, how a stage runs |
| `small_stages.py` | convert, nest and predict, whose verbs have no configuration of their own |
| `checks/` | everything that would stop a stage later |
| `work.py` | what each stage has to do, counted |
| `estimate.py` | how long that takes, measured |
| `worth.py` | what would stand in each stage's place |
| `products.py` | what a stage wrote, by hash |
| `outcome.py` | what it has come to: stages that ended or failed, the submission so far |
| `early.py` | a submission before anything else has ended |
| `job.py` | runs the stages; begin here |
"""
