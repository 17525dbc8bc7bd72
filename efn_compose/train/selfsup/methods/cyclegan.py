"""CycleGAN: images of one class are changed into images of another, and back.

Zhu et al. 2017, arXiv:1703.10593. The donor tells images of each class from translated ones, and is
kept; both translators are thrown away. It reads labels, so an encoder of it has seen them, and what it
draws carries them: see `overlap` in the section of unlabelled images.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.models.memory import inference_batch
from efn_compose.models.traced_gradients import PIXELS, traced_once
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.numerics.ridge import LinearFit, RidgeRegression
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.backbone import build_backbone
from efn_compose.train.objectives.objective import Predict
from efn_compose.train.selfsup.adversarial.critic import (
    critic_heads,
    critic_loss,
    gradient_penalty,
    held,
)
from efn_compose.train.selfsup.adversarial.image_buffer import ImageBuffer
from efn_compose.train.selfsup.adversarial.translator import build_translator, translate
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.positives import other_partners
from efn_compose.train.selfsup.watched import Watched

#: Weights of the way there and back, and of images that are of the class already.
_CYCLE, _SAME = 10.0, 5.0
#: Images of each class that the frozen classifier learns from, that it is asked about, and drawn.
_LEARNT, _ASKED, _DRAWN = 200, 64, 10


class CycleGan(Watched):
    """Two critics on one donor, and two translators; BatchNorm stays as it is in use.

    Every image of a batch stands beside one of the other class, so that both classes count alike
    however rare one is.

    Args:
        pretrain: The method's settings; `between` names both classes.
        views: Not read: images are as `[augment]` leaves them.

    Example:
        >>> CycleGan(PretrainOptions(methods=("cyclegan",), between=("ill", "healthy"))).views
        2
    """

    picture_file = "synthetic.png"
    views = 2
    watched_outputs = 2

    def __init__(
        self, pretrain: PretrainOptions | None = None, views: ViewOptions | None = None
    ) -> None:
        super().__init__(pretrain, views)
        self._seed = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._buffers = (ImageBuffer(), ImageBuffer())
        self._fit: LinearFit | None = None

    def build(self, donor: Donor) -> keras.Model:
        """Build critics and translators as one network, and the donor once more to be asked."""
        self._donor = donor
        self._frozen = build_backbone(donor, self.options)
        model = super().build(donor)
        self.critics = tuple(keras.Model(model.input, model.outputs[k]) for k in (1, 2))
        return model

    def head(self, backbone: keras.Model, pooled: Any) -> list[Any]:
        """Return what both critics say, (image, depth) each, and both changes of the images."""
        self._backbone = backbone
        names = ("first", "second")
        said = [critic_heads(backbone, pooled, self._donor.spec, f"critic_{n}") for n in names]
        #: By the class that they make.
        self.translators = tuple(build_translator(f"generator_{name}") for name in names)
        return [*said, *(translator(backbone.input) for translator in self.translators)]

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Draw heads and translators."""
        super().draw(model, donor, seed)
        self._seed.assign(seed)

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Remember the networks, which are asked after every epoch."""
        super().bind(model, average)
        self._penalties = [self.asked(partial(gradient_penalty, critic)) for critic in self.critics]
        self._translations = [
            traced_once(partial(translate, translator), PIXELS) for translator in self.translators
        ]
        self._frozen_pooled = self.asked(
            lambda pixels: tf.reduce_mean(self._frozen(pixels, training=False), axis=(1, 2))
        )

    def variables(self) -> list[Any]:
        """Return the images that the critics remember."""
        return [*self._buffers, *(buffer.taken for buffer in self._buffers)]

    def check(self, data: TrainingData) -> None:
        """Raise `DataError` also unless every image is of one of two named classes."""
        super().check(data)
        named, known = self.pretrain.between, data.class_names
        unknown = [name for name in named if name not in known]
        if unknown or len(named) != 2:
            raise DataError(
                f"pretrain.between: two of the classes {', '.join(known) or '(none)'}. "
                f"Received: {', '.join(named) or 'none'}."
            )
        counts = {name: int((data.train_labels == known.index(name)).sum()) for name in named}
        if min(counts.values()) < 2 or sum(counts.values()) != len(data.train_images):
            raise DataError(
                f"cyclegan needs 2 images or more of each class, and no others. There are "
                f"{len(data.train_images)}: {', '.join(f'{n} {c}' for n, c in counts.items())}."
            )

    def targets(self, data: TrainingData) -> np.ndarray:
        """Return 0 for images of the first class and 1 for those of the second, (image, 1)."""
        second = data.class_names.index(self.pretrain.between[1])
        return (data.train_labels == second).astype(np.float32)[:, None]

    def partners(self, data: TrainingData, seed: int, epoch: int) -> np.ndarray | None:
        """Return an image of the other class for each image."""
        return other_partners(self.targets(data)[:, 0] > 0, seed, epoch)

    def begin(self, data: TrainingData, updates: int) -> None:
        """Let the donor, as it begins, learn to tell the classes; forget remembered images."""
        super().begin(data, updates)
        for buffer in self._buffers:
            buffer.begin(data.size)
        self._frozen.set_weights(self._backbone.get_weights())
        is_second = self.targets(data)[:, 0] > 0
        own = [np.flatnonzero(is_second == side) for side in (False, True)]
        #: Images of each class that are translated after every epoch.
        self._asked = [data.train_images[numbers[:_ASKED]] for numbers in own]
        # As many of either: of a rare class, a half would be asked too much.
        count = min(_LEARNT, *(len(numbers) for numbers in own))
        learnt = [numbers[-count:] for numbers in own]
        features = [self._frozen_pooled(data.train_images[numbers]) for numbers in learnt]
        wanted = np.repeat([0.0, 1.0], count)[:, None]
        self._fit = RidgeRegression(np.concatenate(features), wanted).fit()

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the losses of both sides, once for each image."""
        shown, partner = tf.split(pixels, 2)
        is_second = (targets > 0.5)[:, :, None, None]
        images = (tf.where(is_second, partner, shown), tf.where(is_second, shown, partner))
        plain = [self._plain(part) for part in images]
        made, total = [], tf.constant(0.0)
        for side in (0, 1):
            there, same = tf.split(
                translate(self.translators[side], tf.concat([plain[1 - side], plain[side]], 0)), 2
            )
            made.append(there)
            total += _SAME * _distance(same, plain[side])
        for side in (0, 1):
            back = translate(self.translators[1 - side], made[side])
            total += _CYCLE * _distance(back, plain[1 - side])
            seed = tf.stack([self._seed, 2 * tf.cast(updates, tf.int64) + side])
            told = self._buffers[side].mixed(made[side], seed)
            critic = self.critics[side]
            total += critic_loss(critic, images[side], self.scaled(255 * told))
            total -= tf.reduce_mean(held(critic, self.scaled(255 * made[side])))
        return tf.cast(tf.shape(targets)[0], tf.float32) * total

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return what translated images are taken for, how well they come back, and the critics' side.

        "target_share": share of translated images that the frozen donor takes for the class that
        they were made to be, of the class where fewer are. "cycle": mean distance of images from
        their way there and back, as a share of the range.
        """
        hits, gaps, cycles, penalties = [], [], [], []
        for side in (0, 1):
            there = self.translated(self._asked[1 - side], side)
            back = self.translated(there, 1 - side)
            cycles.append(np.abs(back / 255.0 - self._asked[1 - side] / 255.0).mean())
            hits.append(np.mean(self._taken_for_second(there) == side))
            real, made = (
                np.split(predict(part)[:, -outputs.shape[1] :], 2, axis=1)[side].mean()
                for part in (self._asked[side], there)
            )
            gaps.append(real - made)
            # As many at once as a training step takes, which keeps maps for gradients, too.
            penalty = self._penalties[side](self._asked[side], self.options.batch_size)
            penalties.append(penalty.mean())
        return {
            "target_share": float(min(hits)),
            "cycle": float(np.mean(cycles)),
            "critic_gap": float(np.max(gaps)),
            "penalty": float(np.mean(penalties)),
        }

    def translated(self, images: PixelArray, side: int) -> np.ndarray:
        """Return images changed to be of a class, uint8 of the same shape.

        Args:
            images: (image, side, side, 3) uint8.
            side: 0 for the first class, 1 for the second.
        """
        step = inference_batch(self._donor.spec, int(images.shape[1]))
        found = [np.zeros((0, *images.shape[1:]), np.uint8)]
        for start in range(0, len(images), step):
            part = tf.constant(images[start : start + step] / np.float32(255))
            made = self._translations[side](part).numpy()
            found.append(np.rint(255 * made).astype(np.uint8))
        return np.concatenate(found)

    def pictures(self, images: PixelArray) -> list[np.ndarray]:
        """Return images of the first class, changed, and changed back; then those of the second."""
        rows: list[np.ndarray] = []
        count = min(_DRAWN, *(len(part) for part in self._asked))
        for side in (0, 1):
            real = self._asked[side][:count]
            there = self.translated(real, 1 - side)
            rows += [real, there, self.translated(there, side)]
        return rows

    def _taken_for_second(self, images: np.ndarray) -> np.ndarray:
        """Return whether the frozen donor takes each image for one of the second class."""
        if self._fit is None:
            raise DataError("cyclegan: no training was begun.")
        features = self._frozen_pooled(images)
        return (features @ self._fit.kernel + self._fit.bias)[:, 0] > 0.5

    def _plain(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return scaled pixels as shares of the range, 0 to 1."""
        mean, std = (np.asarray(v, np.float32) for v in (self._scaling.mean, self._scaling.std))
        return tf.clip_by_value((pixels * std + mean) / 255, 0.0, 1.0)


def _distance(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return the mean distance of values 0 to 1, on a range of -1 to 1 as in the paper."""
    return 2 * tf.reduce_mean(tf.abs(one - other))
