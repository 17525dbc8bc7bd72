"""What second-level models see of 120 made-up rows and 30 images."""

import numpy as np
from made_up_models import fitted_models

from efn_compose.jobs.ensembles.stacking.inputs import Further, StackData


def stack_data() -> StackData:
    """Return eight columns on three folds, with two numbers and a category of each row."""
    out_of_fold, test, rows, _, _ = fitted_models(3, rows=120, test=30, models=8, folds=3)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(150, 2)).astype(np.float32)
    numbers[::7, 0] = np.nan
    codes = rng.integers(1, 4, (150, 1))
    codes[codes[:, 0] == 3] = 0  # unseen, where it is a test image
    codes[:120][codes[:120] == 0] = 3
    further = [Further(numbers[part], codes[part]) for part in (slice(120), slice(120, None))]
    return StackData.of(out_of_fold, test, rows.label, rows.fold, *further)
