"""Whether a soup beats the best network alone, on images that chose nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from efn_compose.assess.ensembles import Score
from efn_compose.assess.metrics import log_softmax
from efn_compose.evolve.verdict.verdict import Difference
from efn_compose.jobs.soup.judge import Answers


@dataclass(frozen=True)
class SoupVerdict:
    """A soup against the best network alone, image by image.

    Args:
        best: Name of the network whose validation loss is least.
        images: Test images that both were asked about.
        loss: Cross-entropy of the soup minus that of the best network, in nats.
        accuracy: Share of right answers of the soup minus that of the best network.
        words: The same as a sentence.
        patients: Patients of these images; None where none are known.
    """

    best: str
    images: int
    loss: Difference
    accuracy: Difference
    words: str
    patients: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def give_soup_verdict(
    soup: Answers,
    alone: Mapping[str, Answers],
    labels: np.ndarray,
    groups: np.ndarray | None = None,
) -> SoupVerdict:
    """Compare a soup with the network that validates best, on the test images.

    Better means that the paired difference of the losses is below zero by more than its
    standard error over images, or over patients where they are known: images of one vary together.

    Args:
        soup: Its answers.
        alone: The answers of each network by its name.
        labels: int (image,) of the test images.
        groups: (image,) numbers of their patients, or None.

    Example:
        >>> sure, unsure = (np.array([[a, 0.0], [0.0, b]]) for a, b in ((3.0, 4.0), (1.0, 1.5)))
        >>> soup, donor = (Answers(x, x, 1.0, 0.0, 1.0) for x in (sure, unsure))
        >>> give_soup_verdict(soup, {"b0": donor}, np.array([0, 1])).loss.is_clearly_better
        True
    """
    best = min(alone, key=lambda name: (alone[name].loss, name))
    other = alone[best]
    patients = None if groups is None else np.unique(groups, return_inverse=True)[1]
    loss = _paired(_losses(soup, labels) - _losses(other, labels), patients)
    accuracy = _paired(_right(soup, labels).astype(float) - _right(other, labels), patients)
    count = None if patients is None else int(patients.max()) + 1
    where = f"{len(labels)} images" + ("" if count is None else f" of {count} patients")
    words = _words(best, where, loss, accuracy)
    return SoupVerdict(best, len(labels), loss, accuracy, words, count)


def _losses(answers: Answers, labels: np.ndarray) -> np.ndarray:
    """Return the cross-entropy (image,) of the test images, in nats."""
    chances = log_softmax(answers.test / answers.temperature)
    losses: np.ndarray = -chances[np.arange(len(labels)), labels]
    return losses


def _right(answers: Answers, labels: np.ndarray) -> np.ndarray:
    right: np.ndarray = answers.test.argmax(axis=1) == labels
    return right


def _paired(differences: np.ndarray, patients: np.ndarray | None) -> Difference:
    values = np.asarray(differences, np.float64)
    if patients is not None and patients.max() == 0:
        patients = None  # one patient says nothing of others; the sentence names the one
    mean = float(values.mean())
    return Difference(mean, Score(mean, (values - mean) / len(values)).standard_error(patients))


def _words(best: str, where: str, loss: Difference, accuracy: Difference) -> str:
    change = f"{loss.mean:+.4f} ± {loss.standard_error:.4f}"
    points = f"{100 * accuracy.mean:+.1f} ± {100 * accuracy.standard_error:.1f} points"
    facts = f"loss {change} and accuracy {points} relative to it, on {where} that chose nothing"
    if loss.mean == loss.standard_error == 0:
        return f"The soup is {best} alone: no average was better on the validation images."
    if loss.is_clearly_better:
        return f"The soup is better than the best network alone, {best}: {facts}."
    if loss.is_clearly_worse:
        return f"The soup is worse than the best network alone, {best}: {facts}. Use {best}."
    return f"The soup is not clearly better than the best network alone, {best}: {facts}."
