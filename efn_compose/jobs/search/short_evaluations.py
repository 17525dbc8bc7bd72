"""Whether the evaluations of a search are long enough: to rank compositions, or to train a network."""

import math

from efn_compose.evolve.kinds.kind import SearchKind
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.run_config import RunConfig
from efn_compose.train.engine.batches import updates_in

#: Updates times their rate. From here on evaluations agreed with a fine-tuning of eight epochs by rank
#: correlations of 0.81 and 0.66 on two data sets; with a third of it, by 0.57 and 0.48
#: (experiments/results/relatives_instrument.md).
ENOUGH = 0.03

#: The largest rate that was measured.
_LARGE_RATE = 3e-3
#: A product that is exactly enough may be rounded down.
_ROUNDING = 1e-9


def evaluation_note(config: RunConfig, images: int) -> str:
    """Return what a search's evaluations are too short for; empty where they are long enough.

    Args:
        config: Of the search.
        images: Training images.
    """
    if not config.kind.trains_on:
        return short_evaluation_note(config.fitness, images)
    # A budget of time decides the number of generations later.
    return "" if config.budget.is_set else short_line_note(config.fitness, config.kind, images)


def short_evaluation_note(fitness: FitnessOptions, images: int) -> str:
    """Return a note where an evaluation moves the weights too little to rank them; empty otherwise.

    Args:
        fitness: Of the search; a batch size of 0, which nobody knows yet, is passed over. Once the
            number is found, `evaluation_note` is asked again.
        images: Training images.

    Example:
        >>> short_evaluation_note(FitnessOptions(), 320)[:60]
        'An evaluation makes 10 updates at a rate of 0.001, which is '
        >>> short_evaluation_note(FitnessOptions(), 1000)
        ''
    """
    if not (fitness.batch_size and fitness.epochs and fitness.learning_rate):
        return ""
    updates = updates_in(images, fitness.batch_size, fitness.epochs)

    def is_enough(rate: float) -> bool:
        return updates * rate >= ENOUGH - _ROUNDING

    if is_enough(fitness.learning_rate):
        return ""
    per_epoch = updates_in(images, fitness.batch_size)
    needed = math.ceil(ENOUGH / fitness.learning_rate / per_epoch - _ROUNDING)
    large = f" So does fitness.learning_rate={_LARGE_RATE:g}, in no more time."
    also = large if is_enough(_LARGE_RATE) else ""
    return (
        f"An evaluation makes {_updates(updates)} at a rate of "
        f"{fitness.learning_rate:g}, which is little: so short ones rank candidates worse than longer ones. "
        f"--set fitness.epochs={needed} mends that.{also}"
    )


def short_line_note(fitness: FitnessOptions, kind: SearchKind, images: int) -> str:
    """Return a note where a whole search trains its networks too little; empty otherwise.

    With few images an epoch may be a single update. Then all generations together may move the
    weights less than one evaluation has to, so that what wins is hardly trained.

    Args:
        fitness: Of the search; a batch size of 0, which nobody knows yet, is passed over.
        kind: A search that trains on.
        images: Training images.

    Example:
        >>> from efn_compose.evolve.kinds.halving import Halving
        >>> short_line_note(FitnessOptions(), Halving(), 20)[:76]
        'An epoch of 20 images is 1 update. All 7 generations together train a networ'
        >>> short_line_note(FitnessOptions(), Halving(), 320)
        ''
    """
    if not (fitness.batch_size and fitness.epochs and fitness.learning_rate):
        return ""
    generations = kind.generations + 1
    updates = generations * updates_in(images, fitness.batch_size, fitness.epochs)
    if updates * fitness.learning_rate >= ENOUGH - _ROUNDING:
        return ""
    per_epoch = updates_in(images, fitness.batch_size)
    needed = math.ceil(ENOUGH / fitness.learning_rate / per_epoch / generations - _ROUNDING)
    enough = math.ceil(ENOUGH / fitness.learning_rate - _ROUNDING)
    return (
        f"An epoch of {images:,} images is {_updates(per_epoch)}. {_together(generations)} a network by "
        f"{_updates(updates)}, at a rate of {fitness.learning_rate:g} or less. One evaluation needs {enough} "
        "of them to rank compositions, so this search trains next to nothing. "
        f"--set fitness.epochs={needed} mends that."
    )


def _updates(count: int) -> str:
    return "1 update" if count == 1 else f"{count} updates"


def _together(generations: int) -> str:
    one = generations == 1
    return "The one generation trains" if one else f"All {generations} generations together train"
