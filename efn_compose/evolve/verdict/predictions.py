"""What best donor and challenger make of the test images: for people to look at, not to choose by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.data import DataSet
from efn_compose.data.png import png_base64
from efn_compose.evolve.verdict.finals import FinalResult
from efn_compose.evolve.verdict.verdict import AVERAGE, COMPOSED
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import PredictionTask

#: Images kept of each kind of case; pixels of their longer side.
SAMPLES_PER_CASE, SAMPLE_PIXELS = 6, 64
CASES = ("only the challenger is right", "only the best donor is right", "both are wrong")


@dataclass(frozen=True)
class Predictions:
    """Answers of two contestants after the same training.

    Args:
        best_donor: Name of the best donor.
        challenger: Name of the written contestant, or of the nearest one.
        seed: Of the training: the first of the finals, so nothing is learned from test anew.
        answers: By name: "predicted" (image,) int32 and "confidence" (image,) float32.
    """

    best_donor: str
    challenger: str
    seed: int
    answers: Mapping[str, Mapping[str, np.ndarray]]


def predict_test(
    finals: FinalResult, epochs: float, executor: Executor, seat: Seat
) -> Predictions | None:
    """Train the best donor and its challenger once more and return their answers.

    None where there is no challenger or a training fails: a picture is not worth a run.

    Args:
        finals: Whom to compare.
        epochs: Per training.
        executor: Answers the tasks.
        seat: The donors of the finals.
    """
    donor, winner = finals.verdict.best_donor, finals.verdict.winner
    others = [name for name in (winner, COMPOSED, AVERAGE) if name in finals.arms and name != donor]
    if not others:
        return None
    names = [donor, others[0]]
    tasks = [
        PredictionTask(finals.recipes[name], finals.seed, epochs, gentle=True) for name in names
    ]
    answers = {}
    for number, outcome in executor.run(tasks, seat):
        if outcome.error is not None:
            return None
        answers[names[number]] = outcome.value
    return Predictions(donor, others[0], finals.seed, {name: answers[name] for name in names})


def describe_predictions(predictions: Predictions, data: DataSet) -> dict[str, Any]:
    """Return confusion counts and some images with both answers; JSON values."""
    labels = np.asarray(data.test_labels)
    arms = {}
    for name, answer in predictions.answers.items():
        counts = np.zeros((data.classes, data.classes), int)
        np.add.at(counts, (labels, answer["predicted"]), 1)
        arms[name] = {"confusion": counts.tolist()}
    return {
        "best_donor": predictions.best_donor,
        "challenger": predictions.challenger,
        "seed": predictions.seed,
        "arms": arms,
        "samples": _samples(predictions, data),
    }


def _samples(predictions: Predictions, data: DataSet) -> list[dict[str, Any]]:
    labels = np.asarray(data.test_labels)
    donor = predictions.answers[predictions.best_donor]
    challenger = predictions.answers[predictions.challenger]
    is_right = {
        "donor": donor["predicted"] == labels,
        "challenger": challenger["predicted"] == labels,
    }
    found = (
        is_right["challenger"] & ~is_right["donor"],
        ~is_right["challenger"] & is_right["donor"],
        ~is_right["challenger"] & ~is_right["donor"],
    )
    return [
        {
            "case": case,
            "image": int(number),
            "label": int(labels[number]),
            "predicted": [int(a["predicted"][number]) for a in (donor, challenger)],
            "confidence": [round(float(a["confidence"][number]), 4) for a in (donor, challenger)],
            "png": png_base64(data.test_images[number], SAMPLE_PIXELS),
        }
        for case, is_case in zip(CASES, found, strict=True)
        for number in np.flatnonzero(is_case)[:SAMPLES_PER_CASE]
    ]
