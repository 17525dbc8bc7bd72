"""Relatives that learnt from images without labels: the ancestor after three objectives.

Their images are of the target, as somebody has who can label few of many. They are never drawn for
training, choice or test.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from relatives_data import ancestor, unlabelled_of

from efn_compose.donors import Donor, load_donor
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe import fit
from efn_compose.train.selfsup import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.table import make_objective

OBJECTIVES = ("vicreg", "rotation", "autoencoder")
UPDATES, BATCH = 90, 64


def unlabelled_relatives(target: str, folder: Path) -> Mapping[str, Donor]:
    """Return the ancestor after each objective on images of a target, made where the folder has it not.

    Args:
        target: One of `relatives_data.SETS`.
        folder: Keeps them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base, found = ancestor().without_head(), {}
    for method in OBJECTIVES:
        path = folder / f"{target}_{method}.h5"
        if not path.exists():
            images = unlabelled_of(target)
            epochs = -(-UPDATES // (len(images) // BATCH))
            options = PretrainOptions(methods=(method,), epochs=epochs, batch_size=BATCH)
            data = TrainingData.of_images(images, images[:200])
            objective = make_objective(method, options, ViewOptions())
            made = fit(base, data, objective=objective, seed=1).donor.without_head()
            partial = path.with_suffix(".partial.h5")
            made.replace(name=method, parts={}).save(partial)
            os.replace(partial, path)
            print(f"relative {target} by {method}", flush=True)
        found[method] = load_donor(path).replace(name=method)
    return found
