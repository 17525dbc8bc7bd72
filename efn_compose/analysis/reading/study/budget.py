"""How equal the trainings of a study came out in seconds."""

from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.reading.study.view import StudyView
from efn_compose.assess.studies.blocks import known_means


@dataclass(frozen=True)
class Spread:
    """Seconds of the trainings on a data set: a mean over folds and seeds for each combination.

    Args:
        data: Name of the data set.
        clock: "processor" or "wall".
        lowest: Of the quickest combination.
        highest: Of the slowest one.
        variation: Coefficient of variation: standard deviation over combinations, by their mean.
    """

    data: str
    clock: str
    lowest: float
    highest: float
    variation: float

    def __str__(self) -> str:
        """Return a sentence."""
        return (
            f"On {self.data} the epochs of a training took {self.lowest:.2f} to {self.highest:.2f} "
            f"{self.clock} seconds; over combinations they vary by {100 * self.variation:.1f} % "
            "(standard deviation by mean)."
        )


def spreads(view: StudyView) -> list[Spread]:
    """Return the spread on each data set where several combinations were measured.

    Args:
        view: The study.
    """
    found = []
    spent = view.spent_by_training
    for number, data in enumerate(view.data_sets):
        means = known_means(spent[:, view.training_data == number], axis=1)
        means = means[np.isfinite(means)]
        if len(means) > 1:
            variation = float(means.std() / means.mean())
            low, high = float(means.min()), float(means.max())
            found.append(Spread(data, view.clock, low, high, variation))
    return found


def budget_lines(view: StudyView) -> list[str]:
    """Return what all trainings have alike, and how equal their seconds came out, in sentences.

    Args:
        view: The study.
    """
    epochs = sorted({count for number in range(len(view.points)) for count in view.epochs(number)})
    if not epochs:
        return []
    if view.equal == "epochs":
        words = f"All trainings have equal epochs: {' or '.join(map(str, epochs))}."
    else:
        unit = f"{view.clock} seconds" if view.equal == "seconds" else view.equal
        words = (
            f"All trainings on a data set get equal {unit}, in {epochs[0]} to {epochs[-1]} epochs."
        )
    return [words, *map(str, spreads(view))]
