"""Rank donors for a data set without training: labels read from frozen features, and cost."""

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.analysis.plot_file import require_matplotlib
from efn_compose.arch.cost import cost
from efn_compose.assess.transfer_scores import cosine_neighbours, h_score, log_me
from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.numerics.pixel_array import PixelArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RankRecord:
    """One donor's scores on a data set, and its cost.

    Args:
        name: The donor.
        variant: Its network.
        knn_top1: Share of images whose nearest neighbour by cosine has their class.
        knn_share: Mean share of the same class among the 5 nearest.
        log_me: Log evidence of a linear read-out, higher is better.
        h_score: Class variance relative to all variance, higher is better.
        parameters: Trainable parameters without classifier.
        multiply_adds: Per image at the size given.
        activations: Elements put out per image.
        images_per_second: Measured on this machine, layer by layer, no classifier.
    """

    name: str
    variant: str
    knn_top1: float
    knn_share: float
    log_me: float
    h_score: float
    parameters: int
    multiply_adds: int
    activations: int
    images_per_second: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return dataclasses.asdict(self)


def rank(
    donors: Iterable[Donor],
    images: PixelArray,
    labels: np.ndarray,
    *,
    batch_size: int = 32,
) -> list[RankRecord]:
    """Return donors from most to least promising for labelled images, without training.

    Ordered by `knn_share`. Scores tell networks apart that differ; between donors of
    one network they are no substitute for a training, see experiments/results/.

    Args:
        donors: Donors of any networks, each run under its own conventions.
        images: (image, height, width, 3), RGB, 0-255; some hundred.
        labels: (image,) class numbers.
        batch_size: Images per step.

    Raises:
        DataError: Images and labels do not fit, or no class has two images.

    Example:
        >>> rank(donors, data.train_images[:500], data.train_labels[:500])[0].name  # doctest: +SKIP
        'noisy_student_b0'
    """
    labels = np.asarray(labels)
    _check(images, labels)
    size = int(images.shape[1])
    records = []
    for donor in donors:
        features, speed = pooled_features(donor, images, batch_size=batch_size)
        top1, share = cosine_neighbours(features, labels)
        costs = cost(donor.spec, size)
        records.append(
            RankRecord(
                donor.name,
                donor.spec.variant,
                top1,
                share,
                log_me(features, labels),
                h_score(features, labels),
                costs.parameters,
                costs.multiply_adds,
                costs.activations,
                speed,
            )
        )
    return sorted(records, key=lambda record: -record.knn_share)


def pooled_features(
    donor: Donor, images: PixelArray, *, batch_size: int = 32
) -> tuple[np.ndarray, float]:
    """Return a donor's pooled features (image, channel) and the images per second it took.

    The first batch, which warms up, is run twice and timed once.
    """
    from efn_compose.models.stepwise import StepwiseNetwork

    network = StepwiseNetwork.of(donor.without_head())
    network.run(donor.preprocess(images[:batch_size]))
    start = time.perf_counter()
    parts = [
        network.run(donor.preprocess(images[first : first + batch_size])).numpy()
        for first in range(0, len(images), batch_size)
    ]
    seconds = time.perf_counter() - start
    return np.concatenate(parts), len(images) / seconds


_COLUMNS = ("donor", "variant", "kNN", "5 nearest", "LogME", "H-score")
_COST_COLUMNS = ("parameters", "multiply-adds", "activations", "images/s")


def rank_table(records: Sequence[RankRecord]) -> str:
    """Return the records as a text table, best first.

    Example:
        >>> print(rank_table(rank(donors, images, labels)))  # doctest: +SKIP
    """
    rows = [(*_COLUMNS, *_COST_COLUMNS)]
    rows += [
        (
            record.name,
            record.variant,
            f"{100 * record.knn_top1:.1f} %",
            f"{100 * record.knn_share:.1f} %",
            f"{record.log_me:.3f}",
            f"{record.h_score:.2f}",
            f"{record.parameters / 1e6:.2f} M",
            f"{record.multiply_adds / 1e6:.1f} M",
            f"{record.activations / 1e6:.2f} M",
            f"{record.images_per_second:.0f}",
        )
        for record in records
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if column < 2 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def plot_rank(records: Sequence[RankRecord]) -> "Figure":
    """Return a figure of score against cost; marker area shows parameters.

    Raises:
        DataError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    largest = max(record.parameters for record in records)
    for record in records:
        point = (record.multiply_adds / 1e6, 100 * record.knn_share)
        axes.scatter(*point, s=30 + 270 * record.parameters / largest, alpha=0.6)
        axes.annotate(record.name, point, textcoords="offset points", xytext=(6, 6))
    axes.set_xscale("log")
    axes.set_xlabel("multiply-adds per image (millions)")
    axes.set_ylabel("same class among the 5 nearest (%)")
    axes.grid(alpha=0.3)
    return figure


def _check(images: PixelArray, labels: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[-1] != 3 or labels.shape != (len(images),):
        raise DataError(
            "Ranking needs images (image, height, width, 3) and one label each. "
            f"Received: images {images.shape}, labels {labels.shape}."
        )
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        raise DataError(
            "Ranking needs at least two classes, one of them with two images. "
            f"Received: {len(counts)} classes, at most {counts.max(initial=0)} images of one."
        )
