"""Whether the evaluations of a search are long enough to rank its candidates."""

import math

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
    return "" if config.kind.trains_on else short_evaluation_note(config.fitness, images)


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
        f"An evaluation makes {updates} update{'s' if updates > 1 else ''} at a rate of "
        f"{fitness.learning_rate:g}, which is little: so short ones rank candidates worse than longer ones. "
        f"--set fitness.epochs={needed} mends that.{also}"
    )
