"""Batches made ahead: while a step runs, the next update's images are read and made ready."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from efn_compose.train.recipe.inputs import Inputs

#: Scaled pixels and targets.
Batch = tuple[tf.Tensor, tf.Tensor]


def made_ahead(
    inputs: Inputs, orders: Sequence[np.ndarray], epoch: int, first: int, size: int
) -> Generator[list[Batch]]:
    """Yield the batches of update after update, on the device; while one is used, the next is made.

    A batch is a function of its numbers alone, so that the bits are those of batches made in turn.

    Args:
        inputs: Makes batches.
        orders: Image numbers of each update, (batch, image).
        epoch: Decides the augmentation.
        first: Number of the first batch in the training.
        size: Height and width in pixels.
    """
    starts = first + np.cumsum([0, *map(len, orders)])

    def make(update: int) -> list[Batch]:
        # Those after it may come from the disk meanwhile.
        for coming in orders[update + 1 : update + 2]:
            inputs.expect(coming)
        return [
            inputs.batch(numbers, epoch, int(starts[update]) + place, size)
            for place, numbers in enumerate(orders[update])
        ]

    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(make, 0)
        for update in range(len(orders)):
            batches = coming.result()
            if update + 1 < len(orders):
                coming = maker.submit(make, update + 1)
            yield batches
