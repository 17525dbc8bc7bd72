"""Telling classes apart: the first objective, and the one that `fit` takes unless told otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from efn_compose.assess.metrics import log_softmax, scores
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, DataError, first_of
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.mix import augmix, consistency_loss, cutmix, mixup
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.linear_head import (
    brings_head,
    draw_head,
    head_arrays,
    is_file_head,
    linear_head,
    start_at_class_means,
)
from efn_compose.train.objectives.losses import class_weights, image_losses
from efn_compose.train.objectives.objective import Deciding, Objective, Predict, Seen
from efn_compose.train.one_hot import OneHot
from efn_compose.train.options import TrainOptions
from efn_compose.train.tta.predict import predict_views
from efn_compose.train.tta.views import View, as_it_is

#: Classes that a message lists.
_LISTED = 10


def require_every_class(part: str, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Raise `DataError` unless each class has an image: the area under the curve needs some of each.

    Args:
        part: What the images are, for the message.
        labels: (image,) class numbers.
        class_names: One per class.
    """
    missing = sorted(set(range(len(class_names))) - set(np.unique(labels).tolist()))
    if missing:
        names = ", ".join(first_of((repr(class_names[number]) for number in missing), _LISTED))
        raise DataError(
            f"{part}: no image of {names}, so that there is no area under the curve. Add some, or take "
            "another metric (data.metric, train.monitor)."
        )


class Classification(Objective):
    """A linear classifier on pooled features, cross-entropy or focal loss, and its scores.

    Args:
        classes: Width of the classifier.
        options: Pooling, dropout, class weights, smoothing, mixing; the defaults are a sound start.
        metric: "auc" adds the area under the curve to the scores; so does `options.monitor`.

    Raises:
        ConfigError: Another metric.

    Example:
        >>> Classification(10, TrainOptions(monitor="accuracy")).deciding
        Deciding(score='accuracy', lower_is_better=False)
    """

    monitors = (
        Deciding("loss"),
        Deciding("accuracy", lower_is_better=False),
        Deciding("auc", lower_is_better=False),
    )

    def __init__(
        self,
        classes: int,
        options: TrainOptions | None = None,
        metric: str = "accuracy",
    ) -> None:
        super().__init__(options or TrainOptions())
        if metric not in ("accuracy", "auc"):
            raise ConfigError(f"metric: allowed 'accuracy' or 'auc'. Received: {metric!r}.")
        self.classes = classes
        self.metric = "auc" if self.options.monitor == "auc" else metric
        #: (class,), set by `begin`.
        self.class_weights = tf.Variable(tf.ones(classes), trainable=False)
        #: Views of each image that pass through the network: the image itself first.
        self._passes = 3 if self.options.augmix else 1

    def outputs(self, backbone: keras.Model) -> Any:
        """Return logits (image, class)."""
        return linear_head(backbone.output, self.classes, self.options)

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Take over the donor's classifier where it fits, else draw one."""
        draw_head(model, donor, seed)

    def begins_at_images(self, model: keras.Model, donor: Donor) -> bool:
        """Return whether the classifier is new, and is to begin at class means."""
        return self.options.head_start == "class_means" and not brings_head(model, donor)

    def start_head(self, model: keras.Model, features: np.ndarray, targets: np.ndarray) -> None:
        """Let the classifier begin at the means of the classes' features."""
        start_at_class_means(model, features, targets)

    def check(self, data: TrainingData) -> None:
        """Raise an error unless classes, class weights and the metric fit the data.

        Raises:
            ConfigError: Other classes, images without labels, or weights that do not fit.
            DataError: A class has no validation image, which the area under the curve needs.
        """
        if data.classes != self.classes:
            raise ConfigError(
                f"This classification is of {self.classes} classes, the data has {data.classes}. "
                "Make a new one."
            )
        without = {part: data.unlabelled(part) for part in ("train", "validation")}
        if any(without.values()):
            raise ConfigError(
                f"{without['train']} training and {without['validation']} validation images have no "
                "label. To tell classes apart, every image needs one; leave these out, or use them "
                "with a method of `semi`."
            )
        class_weights(self.options, data.targets)
        if self.metric == "auc" and len(data.validation_labels):
            require_every_class("validation", data.validation_labels, data.class_names)

    def targets(self, data: TrainingData) -> np.ndarray | OneHot:
        """Return the labels as float32 shares (image, class)."""
        return data.targets

    @property
    def target_spec(self) -> tf.TensorSpec:
        """Shares (image, class)."""
        return tf.TensorSpec((None, self.classes), tf.float32)

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images, with AugMix their views behind them, or mixed with one another."""
        options, x, targets = self.options, seen.pixels, seen.targets
        if options.augmix:
            draws = Draws(seen.numbers, seen.epoch, seen.seed)
            views = [augmix(x, draws, name=name) for name in ("augmix_1", "augmix_2")]
            x = tf.concat([x, *views], axis=0)
        mixers = [
            (mix, alpha)
            for mix, alpha in ((mixup, options.mixup), (cutmix, options.cutmix))
            if alpha
        ]
        if mixers:
            mixed = [mix(x, targets, seen.pairing, alpha) for mix, alpha in mixers]
            turn = seen.step % len(mixed)
            x, targets = (
                tf.gather(tf.stack([result[part] for result in mixed]), turn) for part in (0, 1)
            )
        return x, targets

    def identity(self) -> dict[str, str]:
        """Return nothing: the options say it all, and so do the state files of earlier versions."""
        return {}

    def begin(self, data: TrainingData, updates: int) -> None:
        """Weigh the classes as the options say."""
        self.class_weights.assign(class_weights(self.options, data.targets))

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the summed losses of the images, with AugMix the consistency of their views."""
        logits = tf.cast(model(pixels, training=True), tf.float32)
        views = tf.split(logits, self._passes)
        found = self.losses(views[0], targets)
        if self.options.augmix:
            found += self.options.augmix * consistency_loss(*views)
        return tf.reduce_sum(found)

    def losses(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the weighted loss of each image, (image,).

        Args:
            logits: (image, class).
            targets: (image, class).
        """
        options = self.options
        found = image_losses(
            logits, targets, smoothing=options.label_smoothing, focal_gamma=options.focal_gamma
        )
        return found * tf.linalg.matvec(targets, self.class_weights)

    def scores(self, predict: Predict, data: TrainingData) -> dict[str, float]:
        """Return cross-entropy, accuracy and perhaps the area under the curve."""
        if not len(data.validation_images):
            return {}
        return scores(predict(data.validation_images), data.validation_labels, self.metric)

    def answers(
        self,
        predict: Predict,
        images: PixelArray,
        views: Sequence[View],
        merge: Literal["mean", "median", "rank"],
    ) -> np.ndarray:
        """Return probabilities (image, class); ranks for "rank"."""
        if list(views) == [as_it_is]:
            return np.exp(log_softmax(predict(images))).astype(np.float32)
        return predict_views(predict, images, views, merge=merge).astype(np.float32)

    def kept(self, model: keras.Model) -> dict[str, np.ndarray]:
        """Return the classifier where it reads the pooled average, as weight files describe it."""
        return head_arrays(model) if is_file_head(model) else {}

    def head_arrays(self, model: keras.Model) -> Mapping[str, np.ndarray]:
        """Return kernel and bias of all layers behind the pooling."""
        return head_arrays(model)
