"""Greedy selection of models with replacement (Caruana et al. 2004)."""

import numpy as np

from efn_compose.assess.ensembles.scoring import Judge, Measure

#: More picks gave nothing measurable in published studies of 200 data sets.
PICKS = 25
#: Libraries of half of the models that a bagged climb averages.
BAGS = 10


def climb(
    probability: np.ndarray, labels: np.ndarray, measure: Measure, picks: int = PICKS
) -> np.ndarray:
    """Return the weights of a greedy ensemble, (model,), summing to 1.

    At each step the model joins that makes the mean of all picks best; a model may join again. Of all
    steps the best one counts, of equal ones the earliest. ("Ensemble selection from libraries of
    models", ICML 2004.)

    Args:
        probability: (model, row, class).
        labels: (row,) class numbers.
        measure: What is climbed: "auc", "loss" or "accuracy".
        picks: Number of steps.

    Example:
        >>> sure = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]])
        >>> climb(sure, np.array([0, 1]), "loss").tolist()
        [1.0, 0.0]
    """
    judge = Judge(measure, labels, probability.shape[2])
    given = judge.needed(probability)
    total = np.zeros((len(given), 1, given.shape[2]))
    chosen, best, length = [], -np.inf, 0
    for step in range(1, picks + 1):
        values = judge.values_of((total + given) / step)
        number = int(values.argmax())
        chosen.append(number)
        total = total + given[:, number : number + 1]
        # A hair, so that rounding does not make an ensemble longer.
        if values[number] > best + 1e-12:
            best, length = float(values[number]), step
    return np.bincount(chosen[:length], minlength=len(probability)) / length


def bagged_climb(
    probability: np.ndarray,
    labels: np.ndarray,
    measure: Measure,
    seed: int = 0,
    picks: int = PICKS,
    bags: int = BAGS,
) -> np.ndarray:
    """Return the mean weights of climbs over random halves of the models.

    A model that is too good to be true is missing in half of the climbs, and luck of single rows is
    averaged out.

    Args:
        probability: (model, row, class).
        labels: (row,) class numbers.
        measure: What is climbed.
        seed: Draws the halves.
        picks: Of each climb.
        bags: Number of halves.
    """
    models = len(probability)
    generator = np.random.default_rng([seed, 11])
    weights = np.zeros(models)
    for _ in range(bags):
        half = np.sort(generator.permutation(models)[: (models + 1) // 2])
        weights[half] += climb(probability[half], labels, measure, picks)
    return weights / bags
