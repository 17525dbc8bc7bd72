"""The seam between the engine of a training and its purpose."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.store.weights.parts import Part
from efn_compose.train.engine.fresh import seed_masks
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.backbone import build_backbone, precision_of, start_backbone
from efn_compose.train.one_hot import OneHot
from efn_compose.train.options import TrainOptions
from efn_compose.train.tta.views import View

#: Seeds of the dropout masks of neighbouring layers differ by so much.
_SPACING = 7919

#: From RGB images (image, height, width, 3), values 0-255, to what `Objective.infer` says of them.
Predict = Callable[[PixelArray], np.ndarray]


@dataclass(frozen=True)
class Deciding:
    """The validation score that chooses the best epoch.

    Args:
        score: The name of the score in `Objective.scores`.
        lower_is_better: Its direction.

    Example:
        >>> Deciding("loss").sign, Deciding("accuracy", lower_is_better=False).sign
        (1, -1)
    """

    score: str
    lower_is_better: bool = True

    @property
    def sign(self) -> int:
        """What to multiply the score with, so that smaller is better."""
        return 1 if self.lower_is_better else -1


@dataclass(frozen=True)
class Seen:
    """A batch as it comes from the augmentation, inside the traced function that makes batches.

    Args:
        pixels: (view · image, size, size, 3) float32, 0-255; all images of a view follow each other.
        targets: (image, ...), rows of `Objective.targets`.
        masks: (view · image, size, size) uint8, moved with the images; None unless the objective
            `uses_masks`.
        numbers: (image,) numbers of the images, which decide their draws.
        epoch: int64 scalar.
        step: int64 scalar, the number of the batch in the training.
        seed: int64 scalar, of the training.
    """

    pixels: tf.Tensor
    targets: tf.Tensor
    masks: tf.Tensor | None
    numbers: tf.Tensor
    epoch: tf.Tensor
    step: tf.Tensor
    seed: tf.Tensor

    @property
    def pairing(self) -> tf.Tensor:
        """(2,) int64: the seed of draws over the batch, such as which part of an image another one gets."""
        return tf.stack([self.seed * 65_537, self.step])


class Objective(ABC):
    """The purpose of a training. The engine (`Trainer`, `UpdateStep`, `Inputs`, `fit`) asks nothing else.

    A subclass builds the layers on the backbone (`outputs`), gives targets and loss (`targets`,
    `loss`) and reports (`scores`). All other methods have a default, which may be to do nothing.

    Args:
        options: The settings of the training.

    Example:
        >>> class Brightness(Objective):
        ...     def outputs(self, backbone):
        ...         pooled = keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)
        ...         return keras.layers.Dense(1, name="brightness")(pooled)
        ...
        ...     def targets(self, data):
        ...         return data.train_images.mean(axis=(1, 2, 3), keepdims=True)[:, :, 0, 0] / 255
        ...
        ...     def loss(self, model, pixels, targets, updates):
        ...         return tf.reduce_sum((model(pixels, training=True) - targets) ** 2)
        ...
        ...     def scores(self, predict, data):
        ...         wanted = data.validation_images.mean(axis=(1, 2, 3)) / 255
        ...         found = predict(data.validation_images)[:, 0]
        ...         return {"loss": float(((found - wanted) ** 2).mean())}
    """

    #: Views of each image that a batch begins with, each with draws of its own.
    views: int = 1
    #: Further parts of a weight file that the network has; `draw` takes them over from a donor.
    parts: tuple[str, ...] = ()
    #: Whether the masks of the training images come along, moved as the images are.
    uses_masks: bool = False
    #: The scores that may choose the best epoch; `train.monitor` names one of them.
    monitors: tuple[Deciding, ...] = (Deciding("loss"),)

    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        #: Functions that make batches, by kind of batch; `BatchMaker` fills it.
        self.traced_batches: dict[tuple[Any, ...], Any] = {}
        allowed = [monitor.score for monitor in self.monitors]
        if options.monitor not in allowed:
            raise ConfigError(
                f"train.monitor: {type(self).__name__} is watched by {' or '.join(allowed)}. "
                f"Received: {options.monitor!r}."
            )

    @property
    def deciding(self) -> Deciding:
        """The score that chooses the best epoch."""
        return next(one for one in self.monitors if one.score == self.options.monitor)

    @property
    def absorbs(self) -> bool:
        """Whether the starting weights may be rewritten for the images, their function unchanged."""
        return True

    # The network.

    def build(self, donor: Donor) -> keras.Model:
        """Build the network that is trained, from preprocessed pixels of any size; weights are fresh.

        Args:
            donor: Names the backbone and how its weights want to be run.
        """
        with precision_of(self.options):
            backbone = build_backbone(donor, self.options)
            return keras.Model(backbone.input, self.outputs(backbone), name=backbone.name)

    @abstractmethod
    def outputs(self, backbone: keras.Model) -> Any:
        """Return the network's outputs, built on the backbone's layers.

        Args:
            backbone: From preprocessed pixels to the last feature map; its layers have
                canonical names.
        """

    def start(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Give the network a donor's weights, a fresh head and dropout masks, in place of its own.

        Args:
            model: From `build`.
            donor: Weights of the backbone, and perhaps of more.
            seed: Decides what is drawn.
        """
        start_backbone(model, donor)
        self.draw(model, donor, seed)
        # Every layer gets masks of its own.
        seed_masks(model, seed, _SPACING)

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:  # noqa: B027
        """Give the layers on the backbone their first weights: the donor's if they fit, else drawn ones."""

    def begins_at_images(self, model: keras.Model, donor: Donor) -> bool:
        """Return whether `start_head` gives the head its first weights after `draw`."""
        return False

    def start_head(  # noqa: B027
        self, model: keras.Model, features: np.ndarray, targets: np.ndarray
    ) -> None:
        """Give the head first weights that suit the training images.

        Args:
            model: From `build`.
            features: (image, feature) that the last linear layer reads, float32.
            targets: Of these images, as of `targets`.
        """

    # What is learnt.

    def check(self, data: TrainingData) -> None:  # noqa: B027
        """Raise an error unless examples can be learnt from; called before anything is built.

        Raises:
            ConfigError: The data does not fit the options, or this objective.
        """

    @abstractmethod
    def targets(self, data: TrainingData) -> np.ndarray | OneHot:
        """Return the target of each training image, (image, ...)."""

    @property
    def target_spec(self) -> tf.TensorSpec:
        """Shape and type of the targets that `prepare` returns, open in what may differ."""
        return tf.TensorSpec((None, None), tf.float32)

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the network's input of a batch, and its targets.

        The answer may not depend on what learns: it is made while the batch before is trained on. It is
        traced once for all trainings of this objective, so what differs between them is a variable.

        Args:
            seen: The augmented batch.

        Returns:
            Pixels, float32, 0-255, in any number; targets with one row per image.
        """
        return seen.pixels, seen.targets

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:  # noqa: B027
        """Get to know the network before anything is traced.

        Args:
            model: From `build`.
            average: The moving average of its trainable variables; empty without `ema`.
        """

    def partners(self, data: TrainingData, seed: int, epoch: int) -> np.ndarray | None:
        """Return the number of the image that the second view of each training image shows, (image,).

        Args:
            data: The examples.
            seed: Of the training.
            epoch: Decides them, too.

        Returns:
            None: every view shows the image itself.
        """
        return None

    def identity(self) -> dict[str, str]:
        """Return what decides a training beside its options and its images.

        A killed training is gone on with only under the same identity.
        """
        return {"objective": type(self).__name__}

    def begin(self, data: TrainingData, updates: int) -> None:  # noqa: B027
        """Begin a training; nothing may be left of the one before.

        Args:
            data: Images with labels or masks.
            updates: How many updates the training will make.
        """

    @abstractmethod
    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the loss of a batch, summed over its images; traced, under a gradient tape.

        What belongs to the whole batch counts once for each image, so that batches which are
        accumulated weigh as one large batch does.

        Args:
            model: The network; call it with `training=True`.
            pixels: From `prepare`, scaled as the backbone wants it.
            targets: From `prepare`.
            updates: float32 scalar, the number of updates made before this one.

        Returns:
            float32 scalar.
        """

    def learnt_beside(self) -> Sequence[Any]:
        """Return what learns beside the network's own variables; a part of `variables`."""
        return ()

    def variables(self) -> list[Any]:
        """Return what a training changes beside the network, such as a teacher; kept when it is killed."""
        return []

    # What is reported and kept.

    def infer(self, model: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
        """Return the answers for images, (image, ...); traced.

        Args:
            model: The network.
            pixels: Scaled as the backbone wants them.
        """
        return model(pixels, training=False)

    @abstractmethod
    def scores(self, predict: Predict, data: TrainingData) -> dict[str, float]:
        """Return the scores of the validation images by name; {} where there are none.

        Args:
            predict: Runs `infer`; raises `RunError` where it is not finite.
            data: The examples.
        """

    def answers(
        self,
        predict: Predict,
        images: PixelArray,
        views: Sequence[View],
        merge: Literal["mean", "median", "rank"],
    ) -> np.ndarray:
        """Return the predictions that are kept, float32 (image, ...).

        Args:
            predict: Runs `infer`.
            images: (image, side, side, 3) uint8.
            views: Ways to look at each image.
            merge: What becomes of the views' answers.
        """
        return predict(images)

    def kept(self, model: keras.Model) -> dict[str, np.ndarray]:
        """Return the classifier that the weight file keeps as its head, by canonical name."""
        return {}

    def kept_parts(self, model: keras.Model) -> dict[str, Part]:
        """Return the further parts that the weight file keeps, by name."""
        return {}

    def head_arrays(self, model: keras.Model) -> Mapping[str, np.ndarray]:
        """Return all weights that stand on the backbone, by layer and role."""
        return {}
