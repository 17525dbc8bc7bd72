"""Many models' answers to one: combined, judged on outer folds, probed for leaks.

`methods.py` is the table of ways to combine. `outer.py` judges them and decides. `leaks.py` looks for
columns that have seen too much.
"""

from efn_compose.assess.ensembles.leaks import Suspect, suspect_columns, told_apart
from efn_compose.assess.ensembles.methods import METHODS, Combination
from efn_compose.assess.ensembles.outer import (
    FALLBACK,
    Judged,
    Verdict,
    give_verdict,
    judge_methods,
    raise_level,
)
from efn_compose.assess.ensembles.score_interval import score_interval
from efn_compose.assess.ensembles.scoring import Comparison, Measure, Score, compare, score

__all__ = [
    "FALLBACK",
    "METHODS",
    "Combination",
    "Comparison",
    "Judged",
    "Measure",
    "Score",
    "Suspect",
    "Verdict",
    "compare",
    "give_verdict",
    "judge_methods",
    "raise_level",
    "score",
    "score_interval",
    "suspect_columns",
    "told_apart",
]
