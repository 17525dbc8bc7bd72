"""What the network sees: batches by number, resized, augmented, mixed and scaled."""

import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, DataError, describe_problems
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.mix import augmix, cutmix, mixup
from efn_compose.train.recipe.options import TrainOptions


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images and labels of one training.

    Args:
        class_names: One per class.
        train_images: (image, side, side, 3) uint8 RGB; an array, or a memory-mapped one.
        train_labels: (image,) class numbers, or (image, class) float shares that sum to 1.
        validation_images: As above; may be empty.
        validation_labels: (image,) class numbers.

    Raises:
        DataError: Shapes, dtypes or labels do not fit; all problems are listed.
    """

    class_names: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray

    def __post_init__(self) -> None:
        problems = [] if self.classes >= 2 else [f"- {self.classes} class; 2 or more are needed"]
        for part in ("train", "validation"):
            problems += self._problems(part)
        if not len(self.train_images):
            problems.append("- train: no images")
        sides = {images.shape[1:3] for images in (self.train_images, self.validation_images)}
        if len(self.validation_images) and len(sides) > 1:
            problems.append(f"- training and validation images differ in size: {sorted(sides)}")
        if problems:
            raise DataError(describe_problems("This data cannot be trained on.", problems))

    def _problems(self, part: str) -> list[str]:
        images = getattr(self, f"{part}_images")
        labels = getattr(self, f"{part}_labels")
        found = []
        if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
            found.append(f"- {part}: expected images (image, side, side, 3), not {images.shape}")
        if images.dtype != np.uint8:
            found.append(f"- {part}: expected uint8 pixels, received {images.dtype}")
        if len(images) != len(labels):
            found.append(f"- {part}: {len(images)} images, {len(labels)} labels")
        is_soft = part == "train" and labels.ndim == 2
        if is_soft and labels.shape[1] != self.classes:
            found.append(f"- {part}: {labels.shape[1]} shares per label, {self.classes} classes")
        elif not is_soft and labels.ndim != 1:
            found.append(f"- {part}: expected labels (image,), received {labels.shape}")
        elif not is_soft and labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
            found.append(f"- {part}: labels outside 0 to {self.classes - 1}")
        return found

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.train_images.shape[1])

    @property
    def targets(self) -> np.ndarray:
        """The training labels as float32 shares (image, class)."""
        if self.train_labels.ndim == 2:
            return np.asarray(self.train_labels, np.float32)
        return np.eye(self.classes, dtype=np.float32)[self.train_labels]


class Inputs:
    """Batches of one training, each a function of seed, epoch and step alone.

    Args:
        data: Images and labels.
        donor: Whose input scaling is applied.
        options: Batch size, sizes, mixing.
        augment_options: What is done to each training image.
        seed: Decides order and draws.
    """

    def __init__(
        self,
        data: TrainingData,
        donor: Donor,
        options: TrainOptions,
        augment_options: AugmentOptions,
        seed: int,
    ) -> None:
        self.data, self._options, self._augment = data, options, augment_options
        self.seed = seed
        self._targets = data.targets
        self._batch = min(options.batch_size, len(data.train_images))
        scaling = donor.conventions.preprocessing
        self._mean = tf.constant(scaling.mean, tf.float32)
        self._scale = 1 / tf.constant(scaling.std, tf.float32)
        self._prepared: dict[int, Any] = {}
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

    def batch(
        self, numbers: np.ndarray, epoch: int, step: int, size: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return pixels (view · image, size, size, 3) and targets (image, class) to train on.

        Args:
            numbers: Image numbers.
            epoch: Decides the augmentation.
            step: Number of the batch in the training; decides what is mixed.
            size: Height and width in pixels.
        """
        if size not in self._prepared:
            full = self.data.size
            signature = (
                tf.TensorSpec((None, full, full, 3), tf.uint8),
                tf.TensorSpec((None,), tf.int64),
                tf.TensorSpec((None, self.data.classes), tf.float32),
                tf.TensorSpec((), tf.int64),
                tf.TensorSpec((), tf.int64),
            )

            def prepare(images: Any, numbers: Any, targets: Any, epoch: Any, step: Any) -> Any:
                return self._prepare(images, numbers, targets, epoch, step, size)

            self._prepared[size] = tf.function(prepare, input_signature=signature, autograph=False)
        now = (np.int64(epoch), np.int64(step))
        return self._prepared[size](*self._chosen(numbers), *now)

    def _chosen(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return images, their numbers and their targets."""
        return self.data.train_images[numbers], np.int64(numbers), self._targets[numbers]

    def statistics_images(self, count: int) -> np.ndarray:
        """Return up to so many training images, the same all through a training."""
        return drawn(self.data.train_images, count, self.seed)

    def identity(self) -> dict[str, str]:
        """Return what decides the batches, beside the training's options."""
        digest = 0
        for values in self._everything():
            for item in values:
                digest = zlib.crc32(np.ascontiguousarray(item), digest)
        data = self.data
        return {
            "data": f"{len(data.train_images)} + {len(data.validation_images)} images, {digest:08x}",
            "augment": repr(sorted(asdict(self._augment).items())),
            "seed": str(self.seed),
        }

    def _everything(self) -> list[np.ndarray]:
        data = self.data
        return [
            data.train_images,
            data.validation_images,
            self._targets,
            data.validation_labels,
        ]

    def _prepare(
        self, images: Any, numbers: Any, targets: Any, epoch: Any, step: Any, size: int
    ) -> tuple[Any, Any]:
        options = self._options
        x = tf.cast(images, tf.float32)
        if size != self.data.size:
            x = tf.image.resize(x, (size, size), antialias=True)
        x = augment(x, numbers, self._augment, seed=self.seed, epoch=epoch)
        if options.augmix:
            draws = Draws(numbers, epoch, self.seed)
            views = [augmix(x, draws, name=name) for name in ("augmix_1", "augmix_2")]
            x = tf.concat([x, *views], axis=0)
        mixers = [
            (mix, alpha)
            for mix, alpha in ((mixup, options.mixup), (cutmix, options.cutmix))
            if alpha
        ]
        if mixers:
            seed = tf.stack([tf.constant(self.seed, tf.int64) * 65_537, step])
            mixed = [mix(x, targets, seed, alpha) for mix, alpha in mixers]
            turn = step % len(mixed)
            x, targets = (
                tf.gather(tf.stack([result[part] for result in mixed]), turn) for part in (0, 1)
            )
        return (x - self._mean) * self._scale, targets


def drawn(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return up to `count` images, drawn at random, in their own order."""
    chosen = np.random.default_rng([seed, 4]).permutation(len(images))
    return images[np.sort(chosen[:count])]


def check_sizes(options: TrainOptions, augment_options: AugmentOptions, size: int) -> None:
    """Raise `ConfigError` unless every image size of a training can be cut into the tiles."""
    cells = augment_options.grid_cells
    bad = sorted({side for side in (*options.sizes, size) if side % cells})
    if augment_options.grid and bad:
        raise ConfigError(
            f"augment.grid_cells = {cells} must divide every image size. Received: {bad}."
        )
