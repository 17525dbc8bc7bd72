"""A study's run folder with made-up scores: all a report is drawn from, and no training."""

import itertools
import json
from pathlib import Path

import numpy as np

from efn_compose.store import Journal

#: Axes with names and levels that are hard to fit and to escape.
AXES = {
    "weights": ["noisy_student_b0_of_a_very_long_name", "<b>lite0</b>", "b", "c", "d", "e"],
    "width": [0.25, 0.5],
    "train.label_smoothing": [0.0, 0.1],
    "data": ["folder:/photos/a long way down/here"],
    "resolution": [32, 48],
}


def write_study(folder: Path, seed: int = 0, *, data_sets: int = 1) -> Path:
    """Write a study of 48 combinations under two seeds; one in eleven trainings failed.

    The second data set is harder, and large images help there alone.
    """
    rng = np.random.default_rng(seed)
    axes = AXES | {"data": [*AXES["data"], "<i>the other</i> data set"][:data_sets]}
    points = list(itertools.product(*(range(len(levels)) for levels in axes.values())))
    design = {
        "kind": "backbones",
        "metric": "loss",
        "lower_is_better": True,
        "axes": [{"name": name, "levels": levels} for name, levels in axes.items()],
        "points": [
            {
                "levels": list(levels), "network": "lite-w0.25-d0.3", "parameters": 1000,
                "multiply_adds": 10**6 * (1 + levels[1] + 2 * levels[4]), "epochs": 8,
            }
            for levels in points
        ],
        "blocks": [{"fold": 0, "seed": number} for number in (1, 2)],
        "images": dict.fromkeys(axes["data"], 320),
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps(design))
    journal = Journal(folder / "evaluations.jsonl")
    for number, levels in enumerate(points):
        for seed_number in (1, 2):
            has_failed = (2 * number + seed_number) % 11 == 0
            loss = 1 - 0.1 * levels[0] - 0.05 * levels[1] + rng.normal(0, 0.02)
            loss += levels[3] * (0.7 - 0.1 * levels[4])
            journal.append(
                {
                    "training": f"point{number}_fold0_seed{seed_number}", "point": number,
                    "fold": 0, "seed": seed_number,
                    "scores": {} if has_failed else {"loss": loss, "accuracy": 0.9},
                    "error": "RunError: the loss is <nan> (fit.py:1)" if has_failed else None,
                    "timing": {
                        "seconds": {"train": float(1 + levels[4])}, "per_image": 0.01,
                        "clock": "processor", "epochs": 2.0 + levels[4] + 0.1 * seed_number,
                    },
                }
            )  # fmt: skip
        if levels[1:] == (0, 0, 0, 0):
            scores = {"knn": 0.3 + 0.1 * levels[0], "log_me": float(levels[0]), "ridge": 0.5}
            free = {"training": f"free{number}", "point": number, "fold": 0, "seed": None}
            journal.append(free | {"scores": scores, "error": None, "timing": {}})
    journal.close()
    return folder
