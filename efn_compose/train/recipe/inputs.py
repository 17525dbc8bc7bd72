"""The inputs of a network: batches by number, resized, augmented, made ready and scaled."""

from dataclasses import asdict

import numpy as np
import tensorflow as tf

from efn_compose.data.pixels import crc_of, expect, take
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, DataError
from efn_compose.numerics.pixel_array import PixelArray, gathered
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.engine.handed_over import handed_over
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Objective
from efn_compose.train.recipe.batch_maker import BatchMaker
from efn_compose.train.tiles import check_sizes


class Inputs:
    """Batches of one training, each a function of seed, epoch and step alone.

    Args:
        data: The examples.
        donor: Whose input scaling is applied.
        objective: Says what is wanted of each image, and what else becomes of a batch; its
            options say how large a batch is.
        augment_options: Random changes to each training image.
        seed: Decides order and draws.
    """

    def __init__(
        self,
        data: TrainingData,
        donor: Donor,
        objective: Objective,
        augment_options: AugmentOptions,
        seed: int,
    ) -> None:
        options = objective.options
        self.data, self.objective, self._augment = data, objective, augment_options
        self._options, self.seed = options, seed
        self._targets = objective.targets(data)
        #: What the numbers of an order count.
        self._images: PixelArray = data.train_images
        self._masks = _masks(data, objective) if objective.uses_masks else None
        self._batch = min(options.batch_size, len(data.train_images))
        self._make = BatchMaker(
            objective,
            augment_options,
            donor.conventions.preprocessing,
            data.size,
            tf.TensorSpec((None, *self._targets.shape[1:]), self._targets.dtype),
        )
        self._partners: tuple[int, np.ndarray | None] = (-1, None)
        check_sizes(options, augment_options, data.size)

    @property
    def updates_per_epoch(self) -> int:
        """Updates of one epoch; the last one may have fewer batches than the others."""
        batches = len(self.data.train_images) // self._batch
        return -(-batches // self._options.accumulate)

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the image numbers of every update of an epoch, (batch, image) each.

        Whole batches only: what does not fill a batch waits for the next shuffle.
        """
        count = len(self.data.train_images)
        generator = np.random.default_rng([self.seed, 2, epoch])
        whole = count // self._batch * self._batch
        batches = generator.permutation(count)[:whole].reshape(-1, self._batch)
        step = self._options.accumulate
        return [batches[start : start + step] for start in range(0, len(batches), step)]

    def expect(self, order: np.ndarray) -> None:
        """Say which images the next update takes, (batch, image)."""
        expect(self._images, order.reshape(-1))

    def batch(
        self, numbers: np.ndarray, epoch: int, step: int, size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return pixels (view · image, size, size, 3) and targets (image, ...) to train on.

        Args:
            numbers: Image numbers.
            epoch: Decides the augmentation.
            step: Number of the batch in the training; decides the mixed pairs.
            size: Height and width in pixels.
        """
        now = (np.int64(epoch), np.int64(step), np.int64(self.seed))
        masks = () if self._masks is None else (self._masks[numbers],)
        rest = (np.asarray(numbers, np.int64), self._wanted(numbers))
        partners = self._partners_in(epoch)
        if partners is not None:
            numbers = np.concatenate([numbers, partners[numbers]])
        images = handed_over(gathered(self._images, numbers))
        pixels, targets = self._make.traced(size)(images, *rest, *now, *masks)
        return pixels, targets

    def _wanted(self, numbers: np.ndarray) -> np.ndarray:
        """Return the targets (image, ...) of images."""
        return self._targets[numbers]

    def _partners_in(self, epoch: int) -> np.ndarray | None:
        if self._partners[0] != epoch:
            self._partners = (epoch, self.objective.partners(self.data, self.seed, epoch))
        return self._partners[1]

    def statistics_images(self, count: int) -> PixelArray:
        """Return up to a number of training images, the same all through a training."""
        return drawn(self.data.train_images, count, self.seed)

    def identity(self) -> dict[str, str]:
        """Return what decides the batches, beside the training's options."""
        data, digest = self.data, 0
        for values in self._everything():
            digest = crc_of(values, digest)
        return {
            "data": f"{len(data.train_images)} + {len(data.validation_images)} images, {digest:08x}",
            "augment": repr(sorted(asdict(self._augment).items())),
            "seed": str(self.seed),
        }

    def _everything(self) -> list[PixelArray]:
        data = self.data
        found = [data.train_images, data.validation_images, self._targets, data.validation_labels]
        masks = (self._masks, data.validation_masks) if self._masks is not None else ()
        return found + [part for part in (*masks, data.train_patients) if part is not None]


def _masks(data: TrainingData, objective: Objective) -> np.ndarray:
    if data.train_masks is None:
        raise DataError("This objective needs masks, and the training images have none.")
    if objective.options.augmix:
        raise ConfigError(
            "train.augmix lays differently moved copies of an image over one another, and no mask "
            "fits them. Set train.augmix = 0."
        )
    return data.train_masks


def drawn(images: PixelArray, count: int, seed: int) -> PixelArray:
    """Return up to `count` images, drawn at random, in their own order."""
    chosen = np.random.default_rng([seed, 4]).permutation(len(images))
    return take(images, np.sort(chosen[:count]))


def resized(images: PixelArray, size: int) -> PixelArray:
    """Return images at a size, float32 where they have another one; else they stay as they are.

    Args:
        images: (image, side, side, 3).
        size: Height and width in pixels.
    """
    if int(images.shape[1]) == size:
        return images
    found: np.ndarray = tf.image.resize(images[:], (size, size), antialias=True).numpy()
    return found
