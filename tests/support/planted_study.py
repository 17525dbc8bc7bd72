"""A study's run folder with the losses that a test plants."""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def write_planted(
    folder: Path,
    axes: Mapping[str, Sequence[object]],
    loss: Callable[[dict[str, object], int], float | None],
    *,
    seeds: int = 3,
    chosen: Callable[[dict[str, object]], bool] = lambda levels: True,
    multiply_adds: Callable[[dict[str, object]], int] = lambda levels: 10**6,
    with_accuracy: bool = False,
) -> Path:
    """Write a finished study.

    Args:
        folder: To make.
        axes: Levels by name, "data" among them.
        loss: Of levels and seed; None is a training that failed.
        seeds: Trainings per point.
        chosen: Whether the design has a point.
        multiply_adds: Of a point's network.
        with_accuracy: Write an accuracy of exp(-loss), too.
    """
    numbers = [range(len(levels)) for levels in axes.values()]
    points = []
    for row in itertools.product(*numbers):
        levels = {name: axes[name][n] for name, n in zip(axes, row, strict=True)}
        if chosen(levels):
            points.append((row, levels))
    design = {
        "kind": "grid", "metric": "loss", "lower_is_better": True,
        "axes": [{"name": name, "levels": list(levels)} for name, levels in axes.items()],
        "points": [
            {"levels": list(row), "network": "lite-w0.25-d0.3", "parameters": 1000,
             "multiply_adds": multiply_adds(levels), "epochs": 8}
            for row, levels in points
        ],
        "blocks": [{"fold": 0, "seed": seed} for seed in range(1, seeds + 1)],
        "images": dict.fromkeys(map(str, axes["data"]), 320),
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps(design))
    # At once: a journal takes its time for each line.
    lines = []
    for point, (_, levels) in enumerate(points):
        for seed in range(1, seeds + 1):
            found = loss(levels, seed)
            scores = {} if found is None else {"loss": found}
            if with_accuracy and found is not None:
                scores["accuracy"] = math.exp(-found)
            lines.append(
                {
                    "training": f"point{point}_fold0_seed{seed}", "point": point, "fold": 0,
                    "seed": seed, "scores": scores,
                    "error": "RunError: lost" if found is None else None,
                    "timing": {"seconds": {"train": 2.0}, "per_image": 0.01},
                }
            )  # fmt: skip
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "evaluations.jsonl").write_text(text)
    return folder
