"""Held-out images under pairs of steps, and what trained networks make of them: inference only."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from efn_compose.jobs.policies.expected import Deed, Measured, Pair
from efn_compose.jobs.predictions.networks import Network
from efn_compose.jobs.predictions.panel import Panel
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.geometry import resample
from efn_compose.train.augment.policies.operations import apply_pixels, space_of
from efn_compose.train.augment.policies.tables import OPERATIONS, SIGNED
from efn_compose.train.tta import TtaOptions

#: Images that are changed at once; passes under TrivialAugment, which draws anew in each.
_CHUNK, _PASSES = 256, 8
#: The last operation that moves pixels; those behind it change their values.
_LAST_OF_SPACE = OPERATIONS.index("shift_y")
_TINY = 1e-30


class Scorer:
    """Measures pairs of steps on the images that each network was not trained on.

    Args:
        networks: Trained ones, of one image size.
        data: All images.
        finding: By fold, the numbers of the held-out images that score policies.
        seed: Of the ways that operations with two ways go, image by image.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        data: FoldedImages,
        finding: Mapping[int, np.ndarray],
        seed: int,
    ) -> None:
        self._networks, self._data = networks, data
        self._finding, self._seed = finding, seed
        self._panel = Panel(networks, TtaOptions())

    def pairs(self, network: int, pairs: Sequence[Pair]) -> list[Measured]:
        """Return what one network makes of its images under each pair.

        Args:
            network: Its number.
            pairs: An operation and its strength, then another.
        """

        chunks = list(self._chunks(network))
        found = []
        # Pairs that begin alike share the images of their first step.
        begun: tuple[Deed, list[tf.Tensor]] | None = None
        for first, second in pairs:
            if begun is None or begun[0] != first:
                halfway = [self._done(tf.cast(p, tf.float32), n, 0, first) for n, p in chunks]
                begun = first, halfway
            moved = (
                (numbers, pixels, self._done(half, numbers, 1, second).numpy())
                for (numbers, pixels), half in zip(chunks, begun[1], strict=True)
            )
            found.append(self._measured(network, moved))
        return found

    def trivial(self, network: int) -> Measured:
        """Return what one network makes of its images under TrivialAugment."""
        options = AugmentOptions(flip_x=0.0, auto="trivial")

        def under() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for epoch in range(_PASSES):
                for numbers, pixels in self._chunks(network):
                    moved = augment(pixels, numbers, options, seed=self._seed, epoch=epoch)
                    yield numbers, pixels, moved.numpy()

        return self._measured(network, under())

    def _chunks(self, network: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        numbers = self._finding[self._networks[network].fold or 0]
        for start in range(0, len(numbers), _CHUNK):
            some = numbers[start : start + _CHUNK]
            yield some, np.asarray(self._data.images[some])

    def _done(self, images: tf.Tensor, numbers: np.ndarray, slot: int, deed: Deed) -> tf.Tensor:
        name, size = deed
        if name == "identity":
            return images
        strength = np.full(len(numbers), size, np.float32)
        if name in SIGNED:
            turns = Draws(tf.constant(numbers), 0, self._seed).happens(f"way_{slot}", 0.5).numpy()
            strength[turns] *= -1
        return _apply(images, tf.constant(OPERATIONS.index(name)), tf.constant(strength))

    def _measured(
        self, network: int, parts: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> Measured:
        losses, changes = [], []
        for numbers, pixels, moved in parts:
            _, stated = self._panel.ask_one(self._networks[network], moved, numbers)
            own = stated[0][np.arange(len(numbers)), self._data.labels[numbers]]
            losses.append(-np.log(np.maximum(own, _TINY)))
            changes.append(np.abs(moved - pixels).mean(axis=(1, 2, 3), dtype=np.float64))
        return Measured(float(np.concatenate(losses).mean()), float(np.concatenate(changes).mean()))


@tf.function(
    input_signature=(
        tf.TensorSpec((None, None, None, 3), tf.float32),
        tf.TensorSpec((), tf.int32),
        tf.TensorSpec((None,), tf.float32),
    ),
    autograph=False,
)
def _apply(images: tf.Tensor, operation: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Return images under one operation; each has a strength of its own."""
    same = tf.fill([tf.shape(images)[0]], operation)
    return tf.cond(
        operation <= _LAST_OF_SPACE,
        lambda: resample(images, space_of(same, strength)),
        lambda: apply_pixels(images, same, strength),
    )
