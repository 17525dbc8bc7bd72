"""What becomes of a batch before the network sees it, traced once for all trainings of an objective."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efn_compose.arch.conventions import Preprocessing
from efn_compose.train.augment import AugmentOptions, augment, augment_with_masks
from efn_compose.train.objectives.objective import Objective, Seen

#: Seeds of the draws of an image's views differ by so much.
_NEXT_VIEW = 104_729


class BatchMaker:
    """Resizes, augments, lets the objective prepare, and scales; holds no images.

    Args:
        objective: Keeps what has been traced, for later trainings of the same kind.
        augment_options: Random changes to each image.
        scaling: Of the network's input.
        side: Height and width of the images in pixels.
        targets: Shape and type of the targets of a batch.
    """

    def __init__(
        self,
        objective: Objective,
        augment_options: AugmentOptions,
        scaling: Preprocessing,
        side: int,
        targets: tf.TensorSpec,
    ) -> None:
        self._objective, self._augment = objective, augment_options
        self._mean = tf.constant(scaling.mean, tf.float32)
        self._scale = 1 / tf.constant(scaling.std, tf.float32)
        self._side, self._targets = side, targets
        self._kind = (repr(augment_options), repr(scaling), side, repr(targets))

    def traced(self, size: int) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        """Return the function that makes batches.

        Args:
            size: Height and width of what it returns, in pixels.

        Returns:
            Of images (view · image, side, side, 3) uint8, numbers (image,), targets (image, ...), epoch,
            step and seed, int64, and for an objective that `uses_masks` of masks (image, side, side) uint8.
        """
        made = self._objective.traced_batches
        if (*self._kind, size) not in made:
            side = self._side
            signature = [
                tf.TensorSpec((None, side, side, 3), tf.uint8),
                tf.TensorSpec((None,), tf.int64),
                self._targets,
                *[tf.TensorSpec((), tf.int64)] * 3,
            ]
            if self._objective.uses_masks:
                signature.append(tf.TensorSpec((None, side, side), tf.uint8))

            def make(
                images: Any,
                numbers: Any,
                targets: Any,
                epoch: Any,
                step: Any,
                seed: Any,
                masks: Any = None,
            ) -> Any:
                return self._made(images, masks, numbers, targets, epoch, step, seed, size)

            made[*self._kind, size] = tf.function(make, input_signature=signature, autograph=False)
        return made[*self._kind, size]

    def _made(
        self,
        images: Any,
        masks: Any,
        numbers: Any,
        targets: Any,
        epoch: Any,
        step: Any,
        seed: Any,
        size: int,
    ) -> tuple[Any, Any]:
        x = tf.cast(images, tf.float32)
        if size != self._side:
            x = tf.image.resize(x, (size, size), antialias=True)
            if masks is not None:
                masks = tf.image.resize(masks[..., None], (size, size), method="nearest")[..., 0]
        count = tf.shape(numbers)[0]
        # Images, and their partners where there are any: then the last rows are of the second view.
        shown = [x[:count], x[-count:]]
        views = [
            self._drawn(shown[view % 2], masks, numbers, epoch, seed + view * _NEXT_VIEW)
            for view in range(self._objective.views)
        ]
        pixels, moved = views[0]
        if len(views) > 1:
            pixels = tf.concat([view for view, _ in views], axis=0)
            moved = None if masks is None else tf.concat([mask for _, mask in views], axis=0)
        seen = Seen(pixels, targets, moved, numbers, epoch, step, seed)
        pixels, wanted = self._objective.prepare(seen)
        return (pixels - self._mean) * self._scale, wanted

    def _drawn(
        self, pixels: Any, masks: Any, numbers: Any, epoch: Any, seed: Any
    ) -> tuple[Any, Any]:
        """Return one view of images and masks."""
        if masks is None:
            return augment(pixels, numbers, self._augment, seed=seed, epoch=epoch), None
        return augment_with_masks(pixels, masks, numbers, self._augment, seed=seed, epoch=epoch)
