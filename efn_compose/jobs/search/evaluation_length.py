"""How long the evaluations of a search are: enough to rank compositions, or to train a network."""

import dataclasses
import math

from efn_compose.evolve.run_config import RunConfig
from efn_compose.train.engine.batches import updates_in

#: Updates times their rate. Evaluations of so much agreed with a fine-tuning of eight epochs by rank
#: correlations of 0.90 and 0.72 on two data sets; with a third of it, by 0.57 and 0.48
#: (experiments/results/relatives_instrument.md).
ENOUGH = 0.03

#: The largest rate that was measured.
_LARGE_RATE = 3e-3
#: A product that is exactly enough may be rounded down.
_ROUNDING = 1e-9


def with_epochs(config: RunConfig, images: int) -> tuple[RunConfig, str]:
    """Return a configuration whose `fitness.epochs` is a number, and a note about it.

    A batch size of 0, which nobody knows yet, leaves "auto" as it is. Once the number is found,
    this is asked again.

    Args:
        config: Of the search.
        images: Training images.

    Returns:
        The configuration; and a sentence where "auto" is more than one epoch, or where the epochs
        asked for are too few.
    """
    fitness = config.fitness
    if fitness.epochs != "auto":
        return config, _too_short_note(config, images)
    if not fitness.batch_size:
        return config, ""
    epochs = enough_epochs(config, images)
    fitness = dataclasses.replace(fitness, epochs=float(epochs))
    decided = dataclasses.replace(config, fitness=fitness)
    return decided, _longer_note(config, images, epochs) if epochs > 1 else ""


def enough_epochs(config: RunConfig, images: int) -> int:
    """Return the epochs of an evaluation that are enough, at least one.

    A search that trains on needs them of all its generations together; where a budget of time
    decides their number, one epoch has to do. So it has where batch size or rate are 0.

    Args:
        config: Of the search.
        images: Training images.

    Example:
        >>> enough_epochs(RunConfig(), 320), enough_epochs(RunConfig(), 1000)
        (3, 1)
    """
    if _is_open(config):
        return 1
    fitness = config.fitness
    per_epoch = updates_in(images, fitness.batch_size) * _trainings(config)
    return max(1, math.ceil(ENOUGH / fitness.learning_rate / per_epoch - _ROUNDING))


def _is_open(config: RunConfig) -> bool:
    """Return whether nobody can say how far a network is trained: by no rate, or by time alone."""
    is_timed = config.kind.trains_on and config.budget.is_set
    return is_timed or not (config.fitness.batch_size and config.fitness.learning_rate)


def _trainings(config: RunConfig) -> int:
    """Return how many evaluations train one network, one after the other."""
    return config.kind.generations + 1 if config.kind.trains_on else 1


def _longer_note(config: RunConfig, images: int, epochs: int) -> str:
    """Return a note on evaluations of several epochs, and on what makes them shorter."""
    fitness = config.fitness
    updates = updates_in(images, fitness.batch_size, epochs)
    large = dataclasses.replace(fitness, learning_rate=_LARGE_RATE)
    fewer = enough_epochs(dataclasses.replace(config, fitness=large), images)
    faster = f" --set fitness.learning_rate={_LARGE_RATE:g} needs {_count(fewer, 'epoch')}."
    return (
        f"{images:,} training images are few, so each candidate trains for {epochs} epochs "
        f"({_count(updates, 'update')}).{faster if fewer < epochs else ''}"
    )


def _too_short_note(config: RunConfig, images: int) -> str:
    """Return what evaluations are too short for; empty where they are long enough."""
    fitness = config.fitness
    if _is_open(config) or not fitness.passes:
        return ""
    trainings = _trainings(config)
    updates = trainings * updates_in(images, fitness.batch_size, fitness.passes)
    if updates * fitness.learning_rate >= ENOUGH - _ROUNDING:
        return ""
    mended = "--set fitness.epochs=auto mends that."
    if not config.kind.trains_on:
        return (
            f"An evaluation makes {_count(updates, 'update')} at a rate of {fitness.learning_rate:g}, which "
            f"is little: so short ones rank candidates worse than longer ones. {mended}"
        )
    enough = math.ceil(ENOUGH / fitness.learning_rate - _ROUNDING)
    return (
        f"{_together(trainings)} a network by {_count(updates, 'update')}, at a rate of "
        f"{fitness.learning_rate:g} or less. One evaluation needs {enough} of them to rank compositions, so "
        f"this search trains next to nothing. {mended}"
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _together(generations: int) -> str:
    one = generations == 1
    return "The one generation trains" if one else f"All {generations} generations together train"
