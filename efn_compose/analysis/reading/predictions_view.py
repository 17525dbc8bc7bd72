"""Predictions of best donor and challenger on the test images, from the run folder."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PREDICTIONS_FILE = "predictions.json"
#: Pictures drawn at most, bytes of each at most: the page stays under 2 MB.
_SAMPLES, _PICTURE_BYTES = 24, 20_000
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class SampleView:
    """One test image with both answers.

    Args:
        case: Why the image is shown: "both are wrong", for example.
        image: Its number in the test split.
        label: Its class.
        predicted: Class by best donor and challenger.
        confidence: Their probabilities, 0 to 1.
        png: The picture, base64; empty where it is damaged.
    """

    case: str
    image: int
    label: int
    predicted: tuple[int, int]
    confidence: tuple[float, float]
    png: str


@dataclass(frozen=True)
class PredictionsView:
    """Both contestants' confusion on test, and some images.

    Args:
        best_donor: Its name.
        challenger: Its name.
        confusion: Images (true class, predicted class) by name.
        samples: Images worth a look.
    """

    best_donor: str
    challenger: str
    confusion: Mapping[str, np.ndarray]
    samples: tuple[SampleView, ...]


def read_predictions(folder: Path, classes: int) -> PredictionsView | None:
    """Return what `predictions.json` says; None where it is missing, damaged or of other classes.

    Args:
        folder: The run folder.
        classes: Number of classes of the run's data.
    """
    try:
        found = json.loads((folder / PREDICTIONS_FILE).read_text(encoding="utf-8"))
        names = (str(found["best_donor"]), str(found["challenger"]))
        confusion = {name: np.array(found["arms"][name]["confusion"], np.int64) for name in names}
        samples = tuple(_sample(entry, classes) for entry in found["samples"][:_SAMPLES])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    for counts in confusion.values():
        if counts.shape != (classes, classes) or (counts < 0).any():
            return None
    return PredictionsView(*names, confusion, samples)


def _sample(entry: Mapping[str, Any], classes: int) -> SampleView:
    label, predicted = int(entry["label"]), tuple(int(n) for n in entry["predicted"])
    confidence = tuple(float(value) for value in entry["confidence"])
    if len(predicted) != 2 or len(confidence) != 2:
        raise ValueError("expected two answers")
    if not all(0 <= number < classes for number in (label, *predicted)):
        raise ValueError("no such class")
    return SampleView(
        case=str(entry["case"]),
        image=int(entry["image"]),
        label=label,
        predicted=predicted,
        confidence=confidence,
        png=_checked_png(str(entry.get("png", ""))),
    )


def _checked_png(text: str) -> str:
    """Return a base64 text if it is a small PNG, else nothing."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return text if content.startswith(_PNG) and len(content) <= _PICTURE_BYTES else ""
