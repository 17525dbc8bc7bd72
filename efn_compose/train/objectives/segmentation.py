"""A class for every pixel: a U-Net, losses of masks, overlap as the score."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from efn_compose.arch.decoder import OUTPUT_LAYER
from efn_compose.assess.overlap import count_overlaps, overlap_scores
from efn_compose.data.masks.masks import IGNORED
from efn_compose.donors import Donor
from efn_compose.donors.unet import DECODER, chosen_decoder
from efn_compose.errors import ConfigError, DataError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.store.weights.parts import Part
from efn_compose.train.augment.mix import cutmix_masks
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.decoder_part import DecoderPart
from efn_compose.train.objectives.mask_losses import MASK_LOSSES
from efn_compose.train.objectives.objective import Deciding, Objective, Predict, Seen
from efn_compose.train.objectives.options import ObjectiveOptions
from efn_compose.train.options import TrainOptions
from efn_compose.train.tta.masks import predict_mask_views
from efn_compose.train.tta.views import View

#: Images whose loss is taken at once on validation.
_CHUNK = 32
#: A share of pixels in the bias of the last convolution is at least this.
_RAREST = 1e-4
#: Share of a training after which Lovász's loss takes part.
_LATE = 2 / 3


class Segmentation(Objective):
    """A U-Net that gives every pixel a class.

    Args:
        classes: Classes of a pixel, background included.
        options: Settings of the training.
        objective: Decoder and losses.

    Raises:
        ConfigError: Settings of a training that only classifications have.

    Example:
        >>> Segmentation(2, TrainOptions(monitor="iou")).deciding
        Deciding(score='iou', lower_is_better=False)
    """

    uses_masks = True
    parts = (DECODER,)
    monitors = (
        Deciding("loss"),
        Deciding("iou", lower_is_better=False),
        Deciding("dice", lower_is_better=False),
    )

    def __init__(
        self,
        classes: int,
        options: TrainOptions | None = None,
        objective: ObjectiveOptions | None = None,
    ) -> None:
        super().__init__(options or TrainOptions())
        if self.options.normalisation == "frozen":
            raise ConfigError(
                'train.normalisation = "frozen" keeps statistics, and a decoder begins without any. '
                'Allowed for masks: "own", or "group" for batches of one to four images.'
            )
        self.classes = classes
        self.choices = objective or ObjectiveOptions(kind="segment")
        #: Updates of the training, set by `begin`.
        self._planned = tf.Variable(0.0, trainable=False)
        self._part: DecoderPart | None = None
        self._model: keras.Model | None = None
        self._is_fresh = True

    @property
    def absorbs(self) -> bool:
        """Frozen means frozen: statistics too."""
        return not self.options.frozen_backbone

    def build(self, donor: Donor) -> keras.Model:
        """Build the U-Net; the decoder is the donor's own where it has one."""
        self._part = DecoderPart(donor, chosen_decoder(donor, self.choices.decoder, self.classes))
        return super().build(donor)

    def outputs(self, backbone: keras.Model) -> Any:
        """Return logits (image, height, width, class)."""
        return self._decoder.outputs(backbone)

    @property
    def _decoder(self) -> DecoderPart:
        if self._part is None:
            raise ConfigError("Build the network first: objective.build(donor).")
        return self._part

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Take over the donor's decoder where it fits, else draw one."""
        self._is_fresh = self._decoder.draw(model, donor, seed)

    def check(self, data: TrainingData) -> None:
        """Raise an error unless every image has a mask of classes that this objective knows."""
        problems = []
        for part, masks in (("training", data.train_masks), ("validation", data.validation_masks)):
            images = data.train_images if part == "training" else data.validation_images
            if masks is None:
                problems += [f"the {part} images have no masks"] if len(images) else []
                continue
            known = masks[masks != IGNORED]
            if known.size and known.max() >= self.classes:
                problems.append(
                    f"a {part} mask has class {known.max()}; classes are 0 to {self.classes - 1}"
                )
            if part == "training" and not (known.size and known.max()):
                problems.append("all training masks are empty: background is all there is")
        if problems:
            raise DataError(f"These masks cannot be learnt: {'; '.join(problems)}.")

    def targets(self, data: TrainingData) -> np.ndarray:
        """Return nothing: the masks, which move with their images, are the targets."""
        return np.zeros(len(data.train_images), np.uint8)

    @property
    def target_spec(self) -> tf.TensorSpec:
        """Masks (image, height, width)."""
        return tf.TensorSpec((None, None, None), tf.uint8)

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images and their masks, with CutMix a box of another one in each."""
        if not self.options.cutmix:
            return seen.pixels, seen.masks
        return cutmix_masks(seen.pixels, seen.masks, seen.pairing, self.options.cutmix)

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Keep the network."""
        self._model = model

    def identity(self) -> dict[str, str]:
        """Return decoder and losses."""
        return {**super().identity(), "masks": repr(self.choices)}

    def begin(self, data: TrainingData, updates: int) -> None:
        """Let a fresh decoder begin with the shares of the classes."""
        self._planned.assign(float(updates))
        if self._is_fresh and self._model is not None and data.train_masks is not None:
            # One mask after another: numpy counts in a copy of eight bytes a pixel.
            counts = sum(np.bincount(mask.ravel(), minlength=256) for mask in data.train_masks)
            shares = np.asarray(counts)[: self.classes]
            shares = np.maximum(shares / max(shares.sum(), 1), _RAREST)
            self._model.get_layer(OUTPUT_LAYER).bias.assign(np.log(shares))

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the chosen losses of a batch, summed over its images."""
        logits = tf.cast(model(pixels, training=True), tf.float32)
        names = self.choices.losses
        early = [name for name in names if name != "lovasz"] or ["cross_entropy"]
        if "lovasz" not in names:
            return self._sum(early, logits, targets)
        return tf.cond(
            updates >= _LATE * self._planned,
            lambda: self._sum(names, logits, targets),
            lambda: self._sum(early, logits, targets),
        )

    def _sum(self, names: Sequence[str], logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        return tf.add_n([MASK_LOSSES[name](logits, masks) for name in names])

    def scores(self, predict: Predict, data: TrainingData) -> dict[str, float]:
        """Return loss, and IoU and Dice of the most probable classes, per image and pooled."""
        images, masks = data.validation_images, data.validation_masks
        if not len(images) or masks is None:
            return {}
        loss, counts = 0.0, []
        for start in range(0, len(images), _CHUNK):
            logits = predict(images[start : start + _CHUNK])
            wanted = masks[start : start + _CHUNK]
            loss += float(self._sum(self.choices.losses, tf.constant(logits), tf.constant(wanted)))
            counts.append(count_overlaps(logits.argmax(axis=-1), wanted, self.classes))
        return {"loss": loss / len(images), **overlap_scores(np.concatenate(counts))}

    def answers(
        self,
        predict: Predict,
        images: PixelArray,
        views: Sequence[View],
        merge: Literal["mean", "median", "rank"],
    ) -> np.ndarray:
        """Return the probability of each class of each pixel, (image, height, width, class)."""
        return predict_mask_views(predict, images, views, merge=merge)

    def kept_parts(self, model: keras.Model) -> dict[str, Part]:
        """Return the decoder."""
        return self._decoder.kept(model)

    def head_arrays(self, model: keras.Model) -> Mapping[str, np.ndarray]:
        """Return nothing: all weights on the backbone are the decoder's, which the file holds."""
        return {}
